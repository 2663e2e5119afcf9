//! Taking the terminal, and giving it back however it ends: a key, an error, a panic, a signal.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ratatui::{DefaultTerminal, Frame};
use tokio::signal::unix::{SignalKind, signal};

/// The terminal, ours while this lives.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal. A panic gives it back before it is printed.
    pub(super) fn open() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self(terminal)),
            Err(error) => {
                // Some of it may have been done.
                ratatui::restore();
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Whether a signal said to end.
pub(super) struct Ending(Arc<AtomicBool>);

impl Ending {
    /// Listens for the signals that end a program: by themselves they would leave the terminal as it is.
    pub(super) fn on_signals() -> io::Result<Self> {
        let near = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut signals = {
            let _entered = runtime.enter();
            let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
            kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?
        };
        let flag = Arc::clone(&near);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let [terminate, hang_up, interrupt] = signals.as_mut_slice() {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                }
            });
            flag.store(true, Ordering::Relaxed);
        })?;
        Ok(Self(near))
    }

    pub(super) fn is_near(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
