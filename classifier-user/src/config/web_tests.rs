use super::*;

const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

fn parsed(text: &str) -> Result<WebConfig, String> {
    parse(Path::new("/etc/classifier/web.yml"), text).map_err(|error| error.to_string())
}

#[test]
fn a_whole_file() {
    let config = parsed(&format!(
        "# of the exporter-toolkit
tls_server_config:
  cert_file: tls/server.crt
  key_file: /etc/ssl/private/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  min_version: TLS13
http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
basic_auth_users:
  alice: {HASH}
  prometheus: \"{HASH}\"
"
    ));
    let hash = PasswordHash(HASH.into());
    assert_eq!(
        config,
        Ok(WebConfig {
            tls: Some(TlsSettings {
                cert: Pem::File("/etc/classifier/tls/server.crt".into()),
                key: Pem::File("/etc/ssl/private/server.key".into()),
                client_auth: ClientAuth::Required,
                client_ca: Some(Pem::File("/etc/classifier/ca.crt".into())),
                min_version: TlsVersion::Tls13,
                max_version: TlsVersion::Tls13,
            }),
            users: [("alice".to_owned(), hash.clone()), ("prometheus".to_owned(), hash)].into(),
            headers: vec![
                ("Strict-Transport-Security".into(), "max-age=31536000".into()),
                ("X-Frame-Options".into(), "deny".into()),
            ],
        })
    );
}

#[test]
fn nothing_is_nothing() {
    for text in ["", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n", "{}", "basic_auth_users: {}"] {
        let config = parsed(text).unwrap();
        assert_eq!(config, WebConfig::default(), "{text}");
        assert!(!config.protects());
    }
    let inline = parsed("tls_server_config: { cert: abc, key: def }").unwrap();
    assert!(inline.protects());
    let tls = inline.tls.unwrap();
    assert_eq!((tls.cert, tls.key), (Pem::Text("abc".into()), Pem::Text("def".into())));
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls12, TlsVersion::Tls13));
}

#[test]
fn nobody_reads_secrets_in_logs() {
    let config = parsed(&format!(
        "tls_server_config: {{ cert: abc, key: secret-key }}\nbasic_auth_users: {{ a: {HASH} }}"
    ));
    let shown = format!("{config:?}");
    assert!(!shown.contains("secret-key") && !shown.contains("$2y"), "{shown}");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let tls = "tls_server_config:\n  cert_file: c\n  key_file: k\n";
    for (text, error) in [
        (
            "tls_server_conf:\n  cert_file: c",
            ":1: unknown key `tls_server_conf`; the nearest valid key is `tls_server_config`",
        ),
        (
            "tls_server_config:\n  cert_file: c\n  keyfile: k",
            ":3: unknown key `keyfile` in tls_server_config; the nearest valid key is `key_file`",
        ),
        ("tls_server_config:\n  cert_file: c", ":2: a tls_server_config needs `key_file`"),
        ("tls_server_config: yes please", ":1: `tls_server_config` is a string: expected a mapping"),
        ("- a\n", ":1: `the file` is a list: expected a mapping"),
        (
            "tls_server_config:\n  cert_file: 3\n  key_file: k",
            ":2: `cert_file` is a number: expected a string",
        ),
        (&format!("{tls}  key: inline"), ":3: `key` and `key_file` are both there: one of them is enough"),
        (
            &format!("{tls}  min_version: TLS10"),
            ":4: `min_version: TLS10` is not taken: so old a TLS is not spoken; TLS12 and TLS13 are",
        ),
        (&format!("{tls}  min_version: SSL3"), ":4: `min_version` is `SSL3`: expected TLS12 or TLS13"),
        (
            &format!("{tls}  min_version: TLS13\n  max_version: TLS12"),
            ":4: `min_version` is newer than `max_version`",
        ),
        (
            &format!("{tls}  client_auth_type: RequireAnyClientCert"),
            ":4: `client_auth_type: RequireAnyClientCert` is not taken: a certificate that is not verified shows \
             nothing; take VerifyClientCertIfGiven or RequireAndVerifyClientCert",
        ),
        (
            &format!("{tls}  client_auth_type: RequireAndVerifyClientCert"),
            ":2: clients' certificates are to be verified, and nobody signs them: client_ca_file is missing",
        ),
        (
            &format!("{tls}  client_ca_file: ca"),
            ":2: there is a CA of clients, and no client is asked: client_auth_type is to be \
             RequireAndVerifyClientCert or VerifyClientCertIfGiven",
        ),
        (
            &format!("{tls}  cipher_suites: [TLS_AES_128_GCM_SHA256]"),
            ":4: `cipher_suites` is not taken: the ones of TLS 1.2 and 1.3 that are held to be safe are used, the \
             client's first choice of them",
        ),
        (
            &format!("{tls}  client_allowed_sans: [a]"),
            ":4: `client_allowed_sans` is not taken: whoever has a certificate of client_ca_file is let in",
        ),
        (
            "rate_limit:\n  interval: 1s",
            ":2: `rate_limit` is not taken: connections are limited anyhow (docs/http.md)",
        ),
        ("http_server_config:\n  http2: maybe", ":2: `http2` is a string: expected true or false"),
        (
            "http_server_config:\n  headers:\n    X-Frame-Option: deny",
            ":3: unknown key `X-Frame-Option` in headers; the nearest valid key is `X-Frame-Options`",
        ),
        (
            "http_server_config:\n  headers:\n    X-Frame-Options: \"a\\r\\nb\"",
            ":3: `headers` is `a\r\nb`: expected visible ASCII characters and spaces",
        ),
        (
            "basic_auth_users:\n\n  alice: geheim",
            ":3: the password of `alice` is no bcrypt hash: expected a bcrypt hash, as `htpasswd -nBC 10 alice` prints it",
        ),
        (
            "basic_auth_users:\n  alice: 1234",
            ":2: the password of `alice` is a number: expected a bcrypt hash, as `htpasswd -nBC 10 alice` prints it",
        ),
        (
            &format!("basic_auth_users:\n  alice: {}", HASH.replace("$10$", "$16$")),
            ":2: the password of `alice` is hashed at a cost of more than 15, too slow to check: expected a bcrypt \
             hash, as `htpasswd -nBC 10 alice` prints it",
        ),
        (
            &format!("basic_auth_users:\n  'a:b': {HASH}"),
            ":2: `basic_auth_users` is `a:b`: expected a name that is not empty, without a colon",
        ),
    ] {
        assert_eq!(parsed(text), Err(format!("/etc/classifier/web.yml{error}")), "{text}");
    }
    for text in ["a: [", "tls_server_config:\n  cert_file: a\n  cert_file: b", "a: 1\n---\nb: 2", "\t- a"] {
        let error = parsed(text).unwrap_err();
        assert!(error.starts_with("/etc/classifier/web.yml:"), "{error}");
    }
}
