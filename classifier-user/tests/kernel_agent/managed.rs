//! The agent as a service: what it tells its manager, and that it speaks HTTPS to those who know the password.

use std::{fs, os::unix::net::UnixDatagram, path::Path, process::Command, time::Duration};

use crate::{
    agent::{Agent, binary, classifier, eventually, stderr},
    lab::{Peer, in_namespace},
    world::{Files, ip, send_from, wire},
};

/// What a manager was told.
struct Manager(UnixDatagram);

impl Manager {
    fn next(&self) -> String {
        let mut message = [0; 1024];
        let length = self.0.recv(&mut message).expect("a message within a minute");
        String::from_utf8(message[..length].to_vec()).expect("UTF-8")
    }

    /// Waits for this; what came before it.
    fn until(&self, message: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            match self.next() {
                next if next == message => return before,
                next => before.push(next),
            }
        }
    }
}

#[test]
fn the_manager_is_told() {
    in_namespace(|| {
        let peer = wire();
        let files = Files::new();
        let path = files.path("notify");
        let manager = Manager(UnixDatagram::bind(&path).expect("a socket"));
        manager.0.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let mut command = binary();
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
        let agent = Agent::spawn(command, &format!("-i r0=transit {}", files.arguments()));
        let before = manager.until("READY=1");
        assert_eq!(before.first().map(String::as_str), Some("STATUS=loading tables"));
        assert!(before.contains(&"STATUS=1 link, 6 IPv4 and 2 IPv6 prefixes".to_owned()), "{before:?}");
        // It counts from here on.
        send_from(&peer, "p0", &vec![(10, ip("8.8.8.8", "192.0.2.1", 100))]);
        agent.settled(&[("transit rx", 10)]);
        for _ in 0..5 {
            manager.until("WATCHDOG=1");
        }
        files.write("override.txt", "45.57.0.0/33 nothing\n");
        agent.signal(libc::SIGHUP);
        manager.until("RELOADING=1");
        let meanwhile = manager.until("READY=1");
        assert!(meanwhile.iter().any(|line| line.contains("; warning: ")), "{meanwhile:?}");
        agent.signal(libc::SIGTERM);
        manager.until("STOPPING=1");
        agent.end(libc::SIGTERM);
    });
}

/// A CA, and a certificate for this machine.
fn certificates(directory: &Path) {
    // Its own configuration: not every machine has one.
    let settings =
        "[req]\ndistinguished_name=dn\nx509_extensions=ca\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n";
    fs::write(directory.join("openssl.cnf"), settings).expect("written");
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).current_dir(directory).env("OPENSSL_CONF", "openssl.cnf");
        let output = command.output();
        let output = output.expect("openssl: cargo xtask setup installs it");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    fs::write(directory.join("ext"), "subjectAltName=IP:127.0.0.1").expect("written");
    openssl(&format!("req -x509 {new} -keyout ca.key -out ca.crt -subj /CN=test-ca -days 2"));
    openssl(&format!("req {new} -keyout server.key -out server.csr -subj /CN=server"));
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.crt",
    );
}

#[test]
fn https_for_those_who_know_the_password() {
    in_namespace(|| {
        let _peer: Peer = wire();
        let files = Files::new();
        let directory = files.path("");
        certificates(&directory);
        // `geheim`, and later `anders`.
        let web = |hash: &str| {
            format!(
                "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\nbasic_auth_users:\n  alice: {hash}\n"
            )
        };
        files.write("web.yml", &web(GEHEIM));
        let agent = Agent::start(&format!(
            "-i r0=transit {} --web-config {} --listen 0.0.0.0:9469 --no-reload",
            files.arguments(),
            files.path("web.yml").display()
        ));
        assert!(agent.log().contains("listening on https://0.0.0.0:9469"), "{}", agent.log());
        let ca = directory.join("ca.crt");
        let ask =
            |agent: &str| classifier(&format!("status --json --agent {agent} --agent-ca {}", ca.display()));
        let welcome = ask("https://alice:geheim@127.0.0.1:9469");
        assert!(welcome.status.success(), "{}", stderr(&welcome));
        for (url, said) in [
            ("https://alice:anders@127.0.0.1:9469", "does not take this user and password"),
            ("https://127.0.0.1:9469", "wants a user and a password: give --agent with a user"),
            (
                "http://alice:geheim@127.0.0.1:9469",
                "status 400 Bad Request, `this is HTTPS: ask with https://`",
            ),
        ] {
            let output = ask(url);
            assert_eq!(output.status.code(), Some(1), "{url}");
            assert!(stderr(&output).contains(said), "{url}: {}", stderr(&output));
        }
        // Somebody of whom this machine knows nothing.
        let stranger = classifier("status --agent https://alice:geheim@127.0.0.1:9469");
        assert!(stderr(&stranger).contains("--agent-ca"), "{}", stderr(&stranger));
        // The password from the environment.
        let mut command = binary();
        command.args(["status", "--json", "--agent", "https://alice@127.0.0.1:9469"]);
        command.env("CLASSIFIER_AGENT_PASSWORD", "geheim").env("CLASSIFIER_AGENT_CA", &ca);
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{}", stderr(&output));
        // Another password, on SIGHUP.
        files.write("web.yml", &web(ANDERS));
        agent.signal(libc::SIGHUP);
        eventually("the new password is taken", || {
            ask("https://alice:anders@127.0.0.1:9469").status.success().then_some(())
        });
        assert_eq!(ask("https://alice:geheim@127.0.0.1:9469").status.code(), Some(1));
    });
}

const GEHEIM: &str = "$2b$04$f2cmw51t7k30c4nnyrjftu7tzFLk3HgQ9p8TKMJA.QW.JcD5pyt82";
const ANDERS: &str = "$2b$04$rbifliysjyg3cxz862r1xugN7ZarcMyVpfN2BI7mtSX/ahgYfd0Lq";
