//! Asking the agent, on a thread of its own: an agent that hangs does not hold up the keys.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel},
    thread,
    time::Duration,
};

use super::{
    super::{answers::Status, client::Client},
    state::{Polled, Question, ROWS, Window},
};

/// How often an agent is asked that has not yet said how often it sweeps.
const INTERVAL: Duration = Duration::from_secs(2);

/// The thread that asks. It ends when this goes, or with its next answer.
pub(super) struct Poll {
    questions: Sender<Question>,
    answers: Receiver<Polled>,
}

impl Poll {
    /// Starts asking: at once, and then once a sweep.
    pub(super) fn start(client: Client, question: Question) -> io::Result<Self> {
        let (questions, asked) = channel();
        let (answered, answers) = channel();
        thread::Builder::new()
            .name("poll".to_owned())
            .spawn(move || run(&client, question, &asked, &answered))?;
        Ok(Self { questions, answers })
    }

    /// From now on this is asked, at once.
    pub(super) fn ask(&self, question: Question) {
        // A thread that is gone is noticed where its answers are looked for.
        let _ = self.questions.send(question);
    }

    /// An answer that has come.
    pub(super) fn answer(&self) -> Result<Polled, TryRecvError> {
        self.answers.try_recv()
    }
}

fn run(client: &Client, mut question: Question, asked: &Receiver<Question>, answered: &Sender<Polled>) {
    let mut interval = INTERVAL;
    loop {
        let status = client.get(&["status"], &[]).and_then(|answer| answer.parse::<Status>());
        if let Ok(status) = &status {
            interval =
                Duration::try_from_secs_f64(status.interval_seconds.clamp(0.5, 60.0)).unwrap_or(INTERVAL);
        }
        let top = status.as_ref().map_err(ToString::to_string).and_then(|_| {
            let answer = client.get(&["top"], &query(&question, interval));
            answer.and_then(|answer| answer.parse()).map_err(|error| error.to_string())
        });
        let coverage = status.ok().and_then(|status| status.coverage);
        let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        let polled = Polled { question: question.clone(), top: top.map_err(first_line), coverage };
        if answered.send(polled).is_err() {
            return;
        }
        match asked.recv_timeout(interval) {
            Ok(next) => question = asked.try_iter().last().unwrap_or(next),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn query(question: &Question, interval: Duration) -> Vec<(&'static str, String)> {
    let last = match question.window {
        // Two sweeps: one that came late is not missed.
        Window::Now => format!("{}s", (interval.as_secs_f64() * 2.0).ceil()),
        Window::Last(span) => span.to_string(),
    };
    let mut query = vec![
        ("by", question.by.name().to_owned()),
        ("n", ROWS.to_string()),
        ("side", question.side.name().to_owned()),
        ("last", last),
    ];
    query.extend(question.direction.map(|direction| ("direction", direction.name().to_owned())));
    query.extend(question.links.iter().map(|link| ("link", link.clone())));
    query
}
