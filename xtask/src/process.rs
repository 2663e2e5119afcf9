//! Running other programs: with their output shown, or with a line of progress and the output kept for the error.

use std::{
    env,
    ffi::OsStr,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

/// The workspace's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo in the workspace's directory.
pub(crate) fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// The program and its arguments, as one would type them.
fn line(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command whose output goes to where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("could not run `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// What a command prints on its standard output; its standard error goes to ours, and when it fails all of it.
pub(crate) fn read(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not run `{}`", line(command)))?;
    if !output.status.success() {
        std::io::stderr().write_all(&output.stdout)?;
        bail!("`{}` failed ({})", line(command), output.status);
    }
    Ok(output.stdout)
}

/// Runs a command under one line of progress, and returns its standard output. What it says is shown only when it
/// fails: the end of it.
pub(crate) fn run_quietly(what: &str, command: &mut Command) -> Result<Vec<u8>> {
    let progress = Progress::start(what);
    let output = wait_with(command, || progress.tick())
        .with_context(|| format!("{what}: could not run `{}`", line(command)))?;
    progress.finish(output.status.success());
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(without_hosts).collect();
    let end = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
    Err(anyhow!("{what}: `{}` failed ({})\n{end}", line(command), output.status))
}

/// Mirrors and registries may be private, and their addresses hold credentials: reports get passed on.
fn without_hosts(line: &str) -> String {
    let mut parts = line.split("://");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let path = part.find(['/', ' ', '\'', '`', '"']).and_then(|end| part.get(end..)).unwrap_or_default();
        text.push_str("://…");
        text.push_str(path);
    }
    text
}

fn wait_with(command: &mut Command, tick: impl Fn()) -> Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut pipes = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let stdout = scope.spawn(|| read_all(pipes.0.as_mut()));
        let stderr = scope.spawn(|| read_all(pipes.1.as_mut()));
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            tick();
            thread::sleep(Duration::from_millis(100));
        };
        Ok(Output {
            status,
            stdout: stdout.join().map_err(|_| anyhow!("a reader panicked"))?,
            stderr: stderr.join().map_err(|_| anyhow!("a reader panicked"))?,
        })
    })
}

fn read_all(pipe: Option<&mut impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What came before an error is all that there is to show.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

/// One line on standard error that says what goes on and since when.
pub(crate) struct Progress {
    what: String,
    since: Instant,
    terminal: bool,
}

impl Progress {
    pub(crate) fn start(what: &str) -> Self {
        let progress =
            Self { what: what.into(), since: Instant::now(), terminal: std::io::stderr().is_terminal() };
        if progress.terminal {
            progress.tick();
        } else {
            eprintln!("{what} …");
        }
        progress
    }

    pub(crate) fn tick(&self) {
        if self.terminal {
            eprint!("\r\x1b[K{} … {} s", self.what, self.since.elapsed().as_secs());
            let _ = std::io::stderr().flush();
        }
    }

    pub(crate) fn finish(self, done: bool) {
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "") };
        let word = if done { "done" } else { "failed" };
        eprintln!("{start}{}: {word} ({:.0} s){end}", self.what, self.since.elapsed().as_secs_f64());
    }
}

/// The path of a program: on `PATH`, among cargo's, or where Debian keeps an administrator's.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(cargo_home().map(|home| home.join("bin")))
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// Cargo's directory.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home)
}

#[cfg(test)]
mod tests {
    use super::without_hosts;

    #[test]
    fn addresses_lose_their_hosts() {
        assert_eq!(without_hosts("E: no address here"), "E: no address here");
        assert_eq!(
            without_hosts("Get:1 https://user:secret@mirror.example:8080/debian bookworm; http://other"),
            "Get:1 https://…/debian bookworm; http://…"
        );
    }
}
