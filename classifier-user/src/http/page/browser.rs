//! A headless Chromium that is driven over its DevTools protocol (<https://chromedevtools.github.io/devtools-protocol/>).

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

const PROGRAM: &str = "/usr/bin/chromium";
/// For anything that a browser does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether there is one; says what to do if not.
pub(super) fn is_installed() -> bool {
    let there = Path::new(PROGRAM).exists();
    if !there {
        eprintln!(
            "skipped: {PROGRAM} is not there; `cargo xtask setup` installs it (Debian's package chromium)"
        );
    }
    there
}

pub(super) struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    _profile: tempfile::TempDir,
    next: u64,
    /// Events that came while something else was waited for.
    events: Vec<Value>,
}

/// What a page is looked at with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eyes {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) dark: bool,
    pub(super) script: bool,
    pub(super) language: &'static str,
}

/// A page that was loaded.
pub(super) struct Tab<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl Browser {
    pub(super) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new(PROGRAM)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--remote-debugging-port=0",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--no-first-run",
                "--disable-extensions",
                "--disable-background-networking",
                "--hide-scrollbars",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (port, path) = Self::address(&profile.path().join("DevToolsActivePort"));
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        Self { process, socket, _profile: profile, next: 0, events: Vec::new() }
    }

    fn address(file: &PathBuf) -> (u16, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            if let Some((port, path)) = text.trim().split_once('\n') {
                return (port.parse().unwrap(), path.to_owned());
            }
            assert!(Instant::now() < until, "chromium does not start");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    fn call(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let mut answer = self.receive();
            if answer["id"] == json!(id) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    /// Opens a page and waits until it is loaded, with all that it loads.
    pub(super) fn open(&mut self, url: &str, eyes: Eyes) -> Tab<'_> {
        self.events.clear();
        let target = self.call(None, "Target.createTarget", json!({"url": "about:blank"}))["targetId"].take();
        let attached = self.call(None, "Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        let session = attached["sessionId"].as_str().unwrap().to_owned();
        let mut tab = Tab { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            tab.call(&format!("{domain}.enable"), json!({}));
        }
        let phone = eyes.width < 500;
        tab.call(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": eyes.width, "height": eyes.height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone}),
        );
        let scheme = if eyes.dark { "dark" } else { "light" };
        tab.call(
            "Emulation.setEmulatedMedia",
            json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        );
        tab.call("Emulation.setScriptExecutionDisabled", json!({"value": !eyes.script}));
        tab.call("Network.setExtraHTTPHeaders", json!({"headers": {"Accept-Language": eyes.language}}));
        tab.call("Page.navigate", json!({"url": url}));
        tab.wait("Page.loadEventFired");
        tab
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Tab<'_> {
    pub(super) fn call(&mut self, method: &str, parameters: Value) -> Value {
        let session = self.session.clone();
        self.browser.call(Some(&session), method, parameters)
    }

    fn wait(&mut self, event: &str) {
        while !self.browser.events.iter().any(|seen| seen["method"] == json!(event)) {
            let seen = self.browser.receive();
            self.browser.events.push(seen);
        }
    }

    /// The value of an expression. Works without the page's own scripts, too.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let mut answer = self.call(
            "Runtime.evaluate",
            json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        );
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub(super) fn until(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        while self.value(expression) != json!(true) {
            assert!(Instant::now() < until, "never: {expression}");
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// Messages of the console and of the browser about the page, and exceptions.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        let kinds = ["Runtime.consoleAPICalled", "Log.entryAdded", "Runtime.exceptionThrown"];
        let is = |event: &&Value| kinds.iter().any(|kind| event["method"] == json!(kind));
        self.browser.events.iter().filter(is).map(ToString::to_string).collect()
    }

    /// Addresses that were asked for.
    pub(super) fn requests(&mut self) -> Vec<String> {
        let sent =
            self.browser.events.iter().filter(|event| event["method"] == json!("Network.requestWillBeSent"));
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// Bytes of all answers' contents, as they are without compression.
    pub(super) fn weight(&mut self) -> u64 {
        let data =
            self.browser.events.iter().filter(|event| event["method"] == json!("Network.dataReceived"));
        data.map(|event| event["params"]["dataLength"].as_u64().unwrap()).sum()
    }

    /// A picture of the whole page for people, `target/screenshots/NAME.png`.
    pub(super) fn screenshot(&mut self, name: &str) {
        self.picture(name, true);
    }

    /// A picture of what is on the screen: the pointer stays where it is.
    pub(super) fn screenshot_of_screen(&mut self, name: &str) {
        self.picture(name, false);
    }

    fn picture(&mut self, name: &str, whole: bool) {
        use std::io::Write as _;
        let answer =
            self.call("Page.captureScreenshot", json!({"format": "png", "captureBeyondViewport": whole}));
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots");
        fs::create_dir_all(&directory).unwrap();
        let picture = decode(answer["data"].as_str().unwrap());
        fs::File::create(directory.join(format!("{name}.png"))).unwrap().write_all(&picture).unwrap();
    }

    pub(super) fn close(mut self) {
        self.call("Page.close", json!({}));
    }
}

/// Base 64 (RFC 4648).
fn decode(text: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = [0_u8; 256];
    for (place, &letter) in LETTERS.iter().enumerate() {
        value[usize::from(letter)] = place as u8;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let letters: Vec<u8> = text.bytes().filter(|&letter| letter != b'=').collect();
    for four in letters.chunks(4) {
        let number =
            four.iter().fold(0_u32, |number, &letter| number << 6 | u32::from(value[usize::from(letter)]));
        let number = number << (6 * (4 - four.len()));
        bytes.extend(number.to_be_bytes()[1..four.len()].iter());
    }
    bytes
}
