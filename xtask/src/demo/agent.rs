//! The real agent in the router's namespace, and a way to it from outside.

use std::{
    io::{self, BufRead as _, BufReader, Read},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{
    api::Client,
    internet::{INTERNET_AS, ISP_AS},
    lab::{INTERNET_ADDRESS, ROUTER_INTERFACE},
    mix::VLAN,
    view::View,
};
use crate::sys::{self, Namespace};

/// The agent's usual port: inside the namespace it is free.
pub(crate) const PORT: u16 = 9469;
/// Longest that a debug build takes to fill the FIB.
const START: Duration = Duration::from_secs(60);
/// Longest that BIRD and it take for a full table on a slow machine.
const ROUTES: Duration = Duration::from_secs(180);
const STOP: Duration = Duration::from_secs(15);

/// The links: what is not tagged, and what is.
pub(crate) const TRANSIT: &str = "transit";
pub(crate) const EXCHANGE: &str = "ix";

/// What the session is called.
pub(crate) const INTERNET_ROUTER: &str = "internet";

/// Where the agent's routes come from.
pub(crate) enum Routes {
    /// The built-in table.
    Builtin,
    /// A session with the Internet's router, beside a file of the ISP's own.
    Session {
        /// The file.
        own: PathBuf,
    },
}

/// The running agent; it is ended, and waited for, when this goes.
pub(crate) struct Agent(Child);

impl Agent {
    /// Starts it on the router's interface, and hands what it says to `view`.
    pub(crate) fn start(
        program: &Path,
        router: &Namespace,
        routes: &Routes,
        state: Option<&Path>,
        view: &Arc<View>,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["run", "--upstream", &format!("{ROUTER_INTERFACE}={TRANSIT}"), "--interval", "1s"]);
        command.args(["--upstream", &format!("{ROUTER_INTERFACE}:vlan={VLAN}={EXCHANGE}")]);
        command.args(["--listen", &format!("127.0.0.1:{PORT}")]);
        match routes {
            Routes::Builtin => command.args(["--table", "builtin"]),
            Routes::Session { own } => {
                let peer =
                    format!("{INTERNET_ADDRESS},as={INTERNET_AS},local_as={ISP_AS},name={INTERNET_ROUTER}");
                command.arg("--table").arg(own).args(["--bgp", &peer])
            }
        };
        if let Some(state) = state {
            command.arg("--state-dir").arg(state);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = router
            .host(&mut command)
            .spawn()
            .context("could not start the agent in the router's namespace")?;
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as _),
            child.stderr.take().map(|pipe| Box::new(pipe) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            let view = Arc::clone(view);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    view.say(&format!("agent: {line}"));
                }
            });
        }
        Ok(Self(child))
    }

    /// Waits until it counts and answers.
    pub(crate) fn wait_until_ready(&mut self, client: &Client, interrupted: &AtomicBool) -> Result<()> {
        let since = Instant::now();
        while !client.is_healthy() {
            self.check()?;
            if interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            if since.elapsed() > START {
                bail!("the agent does not answer {} s after its start", START.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until it has so many prefixes.
    pub(crate) fn wait_for_routes(
        &mut self,
        client: &Client,
        prefixes: u64,
        interrupted: &AtomicBool,
    ) -> Result<()> {
        let since = Instant::now();
        loop {
            let there = client.status()?.table.prefixes();
            if there >= prefixes {
                return Ok(());
            }
            self.check()?;
            if interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            if since.elapsed() > ROUTES {
                bail!("{there} of {prefixes} prefixes are there after {} s", ROUTES.as_secs());
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Fails where it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("the agent ended by itself ({status}); its last lines say why"),
            None => Ok(()),
        }
    }

    /// Ends it as an operator would, and fails where that does not go well.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        if !status.success() {
            bail!("the agent did not end well ({status})");
        }
        Ok(())
    }

    fn end(&mut self) -> Result<ExitStatus> {
        if self.0.try_wait()?.is_none() {
            sys::signal(&self.0, sys::Signal::Terminate).context("could not end the agent")?;
        }
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if since.elapsed() > STOP {
                self.0.kill()?;
                self.0.wait()?;
                bail!("the agent did not end within {} s of SIGTERM", STOP.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Already ended, or as good as: whatever failed before this is what gets reported.
        let _ = self.end();
    }
}

/// Passes connections from this machine on to the agent, whose address is reachable in its namespace only. Returns
/// where they come in: the agent's usual port, if that is free here.
pub(crate) fn forward(router: &Arc<Namespace>) -> Result<SocketAddr> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = bind(PORT).or_else(|_| bind(0)).context("no port is free on 127.0.0.1")?;
    let address = listener.local_addr()?;
    let router = Arc::clone(router);
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        // The listener stays where it was made; what this thread opens from here on is in the router.
        let entered = router.enter();
        let failed = entered.is_err();
        let _ = ready.send(entered);
        if failed {
            return;
        }
        for client in listener.incoming().map_while(Result::ok) {
            // Refused, before the agent listens: the client sees its connection closed.
            if let Ok(agent) = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)) {
                let _ = join(client, agent);
            }
        }
    });
    is_ready
        .recv()
        .map_err(|_| anyhow!("a thread panicked"))?
        .context("could not enter a network namespace")?;
    Ok(address)
}

/// Copies both ways until either end closes.
fn join(client: TcpStream, agent: TcpStream) -> io::Result<()> {
    for (mut from, mut to) in [(client.try_clone()?, agent.try_clone()?), (agent, client)] {
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}
