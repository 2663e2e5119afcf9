//! `top --live`: the ranking on the whole terminal, again with each sweep. Reading order: [`state`] (what is shown, and what
//! keys do to it), [`course`] (what was polled before), [`draw`] (the state as a frame), [`poll`] (asking the agent, on a
//! thread of its own), [`terminal`] (taking the terminal and giving it back).

use std::{
    io::{self, IsTerminal as _},
    sync::mpsc::TryRecvError,
    time::Duration,
};

use ratatui::crossterm::event::{self, Event};

use self::{
    poll::Poll,
    state::{Reaction, State},
    terminal::{Ending, Screen},
};
use super::{CliError, args::AgentArgs, client::Client};

mod course;
mod draw;
mod poll;
mod state;
mod terminal;
#[cfg(test)]
mod tests;

pub(super) use self::state::{Question, Window};

/// How long a key is waited for before it is looked whether the agent has answered.
const TICK: Duration = Duration::from_millis(50);

/// Shows the ranking until it is told to end.
///
/// # Errors
/// Where there is no terminal, or it goes away. An agent that does not answer is no error: it is asked again.
pub(super) fn execute(agent: &AgentArgs, question: Question) -> Result<(), CliError> {
    for (name, is_terminal) in
        [("standard output", io::stdout().is_terminal()), ("standard input", io::stdin().is_terminal())]
    {
        if !is_terminal {
            return Err(CliError::NotATerminal { what: "top --live", which: name });
        }
    }
    let client = Client::new(agent)?;
    let mut state = State::new(client.url(), question);
    let ending = Ending::on_signals().map_err(CliError::Terminal)?;
    let poll = Poll::start(client, state.question().clone()).map_err(CliError::Terminal)?;
    let mut screen = Screen::open().map_err(CliError::Terminal)?;
    show(&mut screen, &mut state, &poll, &ending).map_err(CliError::Terminal)
}

fn show(screen: &mut Screen, state: &mut State, poll: &Poll, ending: &Ending) -> io::Result<()> {
    let mut stale = true;
    while !ending.is_near() {
        if stale {
            screen.draw(|frame| draw::draw(frame, state))?;
            stale = false;
        }
        if event::poll(TICK)? {
            match event::read()? {
                Event::Key(key) => match state.key(key) {
                    Reaction::Nothing => {}
                    Reaction::Redraw => stale = true,
                    Reaction::Ask => {
                        poll.ask(state.question().clone());
                        stale = true;
                    }
                    Reaction::End => return Ok(()),
                },
                Event::Resize(..) => stale = true,
                _ => {}
            }
        }
        loop {
            match poll.answer() {
                Ok(answer) => stale |= state.take(answer),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(io::Error::other("the asking thread ended")),
            }
        }
    }
    Ok(())
}
