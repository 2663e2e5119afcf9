//! TLS and passwords, asked for by curl, with certificates of openssl's.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Instant};

use super::{tests::questions, *};

/// A directory with a CA, and certificates of its own.
struct Pki(tempfile::TempDir);

impl Pki {
    fn new() -> Self {
        let pki = Self(tempfile::tempdir().unwrap());
        pki.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt \
             -subj /CN=test-ca -days 2",
        );
        pki.issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1");
        pki
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.path()).output();
        let output = output.expect("openssl: cargo xtask setup installs it");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// `NAME.crt` and `NAME.key`.
    fn issue(&self, name: &str, extension: &str) {
        fs::write(self.path().join("ext"), extension).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr \
             -subj /CN={name}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out {name}.crt"
        ));
    }

    fn write(&self, text: &str) -> Arc<Web> {
        let path = self.path().join("web.yml");
        fs::write(&path, text).unwrap();
        Web::open(&path).unwrap()
    }

    /// In one step, as it should be done.
    fn replace(&self, from: &str, to: &str) {
        fs::copy(self.path().join(from), self.path().join("new")).unwrap();
        fs::rename(self.path().join("new"), self.path().join(to)).unwrap();
    }

    /// The subject of the certificate that is shown there.
    async fn certificate(&self, url: &str) -> Option<String> {
        let said = self.curl(&format!("--verbose {url}")).await.2;
        said.lines().find_map(|line| Some(line.split_once("subject: ")?.1.to_owned()))
    }

    /// curl's exit code, the status, and what else came.
    async fn curl(&self, arguments: &str) -> (i32, String, String) {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "30", "--include", "--cacert", "ca.crt"]);
        command.args(arguments.split(' ')).current_dir(self.path());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let output = output.expect("curl: cargo xtask setup installs it");
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let status = said.split(' ').nth(1).unwrap_or_default().to_owned();
        (output.status.code().unwrap(), status, said)
    }
}

async fn listening(web: Arc<Web>) -> (SocketAddr, Stats) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service { web: Some(web), stats: Stats::default() };
    let stats = service.stats.clone();
    tokio::spawn(serve(listener, questions(), service, std::future::pending()));
    (address, stats)
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_passwords() {
    let pki = Pki::new();
    let hash = bcrypt::hash("geheim", 4).unwrap();
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    \
                   Strict-Transport-Security: max-age=600\n";
    let web = pki.write(&format!("{TLS}{headers}basic_auth_users:\n  alice: {hash}\n"));
    assert_eq!(web.scheme(), "https");
    let (address, stats) = listening(web).await;
    let url = format!("https://localhost:{}/healthz", address.port());
    let (code, status, said) = pki.curl(&format!("--user alice:geheim {url}")).await;
    assert_eq!((code, &*status), (0, "200"), "{said}");
    assert!(said.contains("strict-transport-security: max-age=600\r\n"), "{said}");
    assert!(said.contains("x-frame-options: deny\r\n"), "{said}");
    assert!(said.ends_with("\r\n\r\nok\n"), "{said}");
    for (arguments, expected) in [
        ("--user alice:wrong", "a user and a password are needed, and these are not right\n"),
        ("--user bob:geheim", "a user and a password are needed, and these are not right\n"),
        ("--globoff", "a user and a password are needed, and these are not right\n"),
    ] {
        let (code, status, said) = pki.curl(&format!("{arguments} {url}")).await;
        assert_eq!((code, &*status), (0, "401"), "{said}");
        assert!(
            said.contains("www-authenticate: Basic realm=\"classifier\", charset=\"UTF-8\"\r\n"),
            "{said}"
        );
        assert!(said.contains("strict-transport-security") && said.ends_with(expected), "{said}");
    }
    let api = format!("https://127.0.0.1:{}/api/v1/status", address.port());
    assert!(pki.curl(&api).await.2.contains(r#""code":"unauthorized""#));
    // Every path, the page too.
    assert_eq!(pki.curl(&format!("https://localhost:{}/", address.port())).await.1, "401");
    assert_eq!(stats.operator.refused(Refused::Unauthorized), 5);
    assert_eq!(stats.operator.refused(Refused::Handshake), 0);

    let plain = format!("http://localhost:{}/healthz", address.port());
    let (code, status, said) = pki.curl(&plain).await;
    assert_eq!((code, &*status), (0, "400"), "{said}");
    assert!(said.ends_with("this is HTTPS: ask with https://\r\n"), "{said}");
    assert_eq!(stats.operator.refused(Refused::Handshake), 1);
    // A client that knows another CA.
    let other = Pki::new();
    assert_eq!(other.curl(&url).await.0, 60);
    // Too old a version, and one that is not.
    assert_eq!(pki.curl(&format!("--tls-max 1.1 {url}")).await.0, 35);
    assert_eq!(pki.curl(&format!("--tls-max 1.2 --user alice:geheim {url}")).await.1, "200");
    assert!(stats.operator.refused(Refused::Handshake) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_certificates() {
    let pki = Pki::new();
    pki.issue("client", "extendedKeyUsage=clientAuth");
    let stranger = Pki::new();
    stranger.issue("client", "extendedKeyUsage=clientAuth");
    let theirs = format!("--cert {0}/client.crt --key {0}/client.key", stranger.path().display());
    for (kind, without) in [("RequireAndVerifyClientCert", false), ("VerifyClientCertIfGiven", true)] {
        let web = pki.write(&format!(
            "{TLS}  client_ca_file: ca.crt\n  client_auth_type: {kind}\n  min_version: TLS13\n"
        ));
        let (address, _) = listening(web).await;
        let url = format!("https://localhost:{}/healthz", address.port());
        let (code, status, said) = pki.curl(&format!("--cert client.crt --key client.key {url}")).await;
        assert_eq!((code, &*status), (0, "200"), "{said}");
        assert_eq!(pki.curl(&url).await.0 == 0, without, "{kind}");
        assert_ne!(pki.curl(&format!("{theirs} {url}")).await.0, 0, "{kind}");
        assert_ne!(pki.curl(&format!("--tls-max 1.2 {url}")).await.0, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let pki = Pki::new();
    let web = pki.write(TLS);
    tokio::spawn(Arc::clone(&web).watch(true));
    let (address, _) = listening(web).await;
    let url = format!("https://localhost:{}/healthz", address.port());
    assert_eq!(pki.certificate(&url).await.as_deref(), Some("CN=server"));
    // The certificate alone, which the key does not fit: the old pair stays.
    pki.issue("renewed", "subjectAltName=DNS:localhost");
    pki.replace("renewed.crt", "server.crt");
    tokio::time::sleep(3 * crate::watched::LOOK).await;
    assert_eq!(pki.certificate(&url).await.as_deref(), Some("CN=server"));
    pki.replace("renewed.key", "server.key");
    let since = Instant::now();
    while pki.certificate(&url).await.as_deref() != Some("CN=renewed") {
        assert!(since.elapsed() < Duration::from_secs(60), "the old one is still used");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The agent reads them at first, and serves when tables are loaded.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_before_it_is_followed_is_taken() {
    let pki = Pki::new();
    let hash = bcrypt::hash("geheim", 4).unwrap();
    let text = |user: &str| format!("{TLS}basic_auth_users:\n  {user}: {hash}\n");
    let write = |user: &str| fs::write(pki.path().join("web.yml"), text(user)).unwrap();
    let web = pki.write(&text("alice"));
    let (address, _) = listening(Arc::clone(&web)).await;
    let url = format!("https://localhost:{}/healthz", address.port());
    let wait_for = async |user: &str| {
        let since = Instant::now();
        while pki.curl(&format!("--user {user}:geheim {url}")).await.1 != "200" {
            assert!(since.elapsed() < Duration::from_secs(60), "{user} is still unknown");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    pki.issue("renewed", "subjectAltName=DNS:localhost");
    pki.replace("renewed.crt", "server.crt");
    pki.replace("renewed.key", "server.key");
    write("bob");
    wait_for("alice").await;
    assert_eq!(pki.certificate(&url).await.as_deref(), Some("CN=server"));
    let following = tokio::spawn(Arc::clone(&web).watch(true));
    wait_for("bob").await;
    assert_eq!(pki.certificate(&url).await.as_deref(), Some("CN=renewed"));
    following.abort();
    assert!(following.await.unwrap_err().is_cancelled());

    // Without a look at files a signal tells of them, which may come as early.
    let following = web.watch(false);
    write("carol");
    let kill = format!("kill -HUP {}", std::process::id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    tokio::time::sleep(Duration::from_millis(200)).await;
    tokio::spawn(following);
    wait_for("carol").await;
}

/// A file that is cut short, as on a full disk, is a valid one.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_file_opens_nothing() {
    let pki = Pki::new();
    let hash = bcrypt::hash("geheim", 4).unwrap();
    let users = format!("basic_auth_users:\n  alice: {hash}\n");
    let web = pki.write(&format!("{TLS}{users}"));
    tokio::spawn(Arc::clone(&web).watch(true));
    let (address, _) = listening(web).await;
    let url = format!("https://localhost:{}/healthz", address.port());
    for less in
        ["", "# nothing\n", TLS, &users, "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"]
    {
        fs::write(pki.path().join("web.yml"), less).unwrap();
        tokio::time::sleep(3 * crate::watched::LOOK).await;
        assert_eq!(pki.curl(&url).await.1, "401", "{less:?}");
        assert_eq!(pki.curl(&format!("--user alice:geheim {url}")).await.1, "200", "{less:?}");
    }
    // What keeps out others as well is taken.
    let other = users.replace("alice", "bob");
    fs::write(pki.path().join("web.yml"), format!("{TLS}{other}")).unwrap();
    let since = Instant::now();
    while pki.curl(&format!("--user bob:geheim {url}")).await.1 != "200" {
        assert!(since.elapsed() < Duration::from_secs(60), "it is not taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(pki.curl(&format!("--user alice:geheim {url}")).await.1, "401");
}

#[test]
fn what_cannot_be_served_is_said_with_its_file() {
    let pki = Pki::new();
    pki.issue("other", "subjectAltName=DNS:localhost");
    fs::write(pki.path().join("empty"), "").unwrap();
    let path = pki.path().join("web.yml");
    let directory = pki.path().display();
    for (text, error) in [
        (TLS.replace("server.crt", "no.crt"), "no.crt: No such file or directory (os error 2)"),
        (TLS.replace("server.crt", "server.key"), "server.key: no certificate in PEM there"),
        (TLS.replace("server.key", "empty"), "empty: no private key in PEM there"),
        (TLS.replace("server.key", "other.key"), "server.crt: keys may not be consistent: KeyMismatch"),
        (
            format!("{TLS}  client_ca_file: empty\n  client_auth_type: RequireAndVerifyClientCert\n"),
            "empty: no certificate in PEM there",
        ),
    ] {
        fs::write(&path, &text).unwrap();
        let said = Web::open(&path).unwrap_err().to_string();
        assert_eq!(said, format!("{directory}/{error}"), "{text}");
    }
}
