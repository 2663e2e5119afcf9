//! Pages as a browser shows them: on a desktop and on a phone, light and dark, with and without JavaScript. Pictures of them
//! are in `target/screenshots/` for people to look at.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

use super::{
    browser::{Browser, Eyes, Tab, is_installed},
    world,
};
use crate::{
    http,
    questions::{
        Questions,
        words::{self, Lang},
    },
    totals::answer::TopAnswer,
};

const DESKTOP: Eyes = Eyes { width: 1280, height: 900, dark: false, script: true, language: "en" };
const PHONE: Eyes = Eyes { width: 375, height: 740, dark: false, script: true, language: "en" };

/// The operator's listener on loopback, until it is dropped.
struct Server {
    address: SocketAddr,
    _end: oneshot::Sender<()>,
    _runtime: Runtime,
}

impl Server {
    fn start(questions: Questions) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        runtime.spawn(http::serve(listener, questions, http::Service::default(), async {
            let _ = ended.await;
        }));
        Self { address, _end: end, _runtime: runtime }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn api(&self, path: &str) -> Value {
        let body = ureq::get(self.url(path)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&body).unwrap()
    }
}

/// Nothing may be wrong with any page.
fn check(tab: &mut Tab<'_>, server: &Server) {
    assert_eq!(tab.complaints(), Vec::<String>::new());
    let origin = server.url("/");
    for request in tab.requests() {
        assert!(request.starts_with(&origin), "a request to another place: {request}");
    }
    // Nothing is wider than the screen.
    assert_eq!(
        tab.value("document.documentElement.scrollWidth"),
        tab.value("document.documentElement.clientWidth")
    );
}

/// A page with its graph, tables, style, script and typeface.
fn check_weight(tab: &mut Tab<'_>) {
    let weight = tab.weight();
    assert!(weight < 200_000, "{weight} bytes");
}

/// The first table's rows: rank, name, AS, rate in, rate out.
fn rows(tab: &mut Tab<'_>) -> Vec<[String; 5]> {
    let rows = tab.value(
        "[...document.querySelectorAll('#t-as tbody tr')].map(row => [
            row.querySelector('.rank').textContent,
            row.querySelector('.who a').textContent,
            row.querySelector('.who small').textContent,
            row.querySelectorAll('td.rate')[0].firstChild.textContent,
            row.querySelectorAll('td.rate')[1].firstChild.textContent,
        ])",
    );
    serde_json::from_value(rows).unwrap()
}

/// The same of the API's answer.
fn expected(server: &Server, last: &str, lang: Lang) -> Vec<[String; 5]> {
    let answer = server.api(&format!("/api/v1/top?by=as&n=100&last={last}"));
    let top: TopAnswer = serde_json::from_value(answer).unwrap();
    let outward = top.directions.outward.unwrap().rows;
    let row = |row: &crate::totals::answer::Row| {
        let out = outward.iter().find(|out| out.asn == row.asn).unwrap();
        [
            row.rank.to_string(),
            row.name.clone().unwrap(),
            format!("AS{}", row.asn.unwrap()),
            words::bits_per_second(lang, row.bits_per_second),
            words::bits_per_second(lang, out.bits_per_second),
        ]
    };
    top.directions.inward.unwrap().rows.iter().take(20).map(row).collect()
}

#[test]
fn what_is_shown_is_what_the_api_says() {
    if !is_installed() {
        return;
    }
    let server = Server::start(world::questions(62));
    let mut browser = Browser::start();
    for (name, path, lang, eyes) in [
        ("home-desktop", "/", Lang::En, DESKTOP),
        ("home-desktop-dark", "/?last=7d&by=group", Lang::En, Eyes { dark: true, ..DESKTOP }),
        ("home-desktop-plain", "/?last=30d", Lang::En, Eyes { script: false, ..DESKTOP }),
        ("home-phone", "/", Lang::En, PHONE),
        (
            "home-phone-dark-french",
            "/?last=30d",
            Lang::Fr,
            Eyes { dark: true, language: "fr-CH,fr;q=0.8", ..PHONE },
        ),
        ("home-phone-plain", "/?last=1h", Lang::En, Eyes { script: false, ..PHONE }),
    ] {
        let mut tab = browser.open(&server.url(path), eyes);
        check(&mut tab, &server);
        check_weight(&mut tab);
        let last = path.split(['=', '&']).nth(1).unwrap_or("24h");
        let (shown, expected) = (rows(&mut tab), expected(&server, last, lang));
        assert_eq!(shown.len(), 20);
        assert_eq!(shown, expected, "{name}");
        assert_eq!(tab.value("document.documentElement.lang"), json!(lang.code()));
        let ground = tab.value("getComputedStyle(document.body).backgroundColor");
        assert_eq!(ground, json!(if eyes.dark { "rgb(18, 20, 23)" } else { "rgb(255, 255, 255)" }));
        assert_eq!(tab.value("document.fonts.check('600 16px Inter')"), json!(true));
        tab.screenshot(name);
        tab.close();
    }
}

#[test]
fn every_sort_of_page_is_whole() {
    if !is_installed() {
        return;
    }
    let server = Server::start(world::questions(62));
    let mut browser = Browser::start();
    for (name, path) in [
        ("as", "/as/2906?last=30d"),
        ("group", "/group/netflix?last=7d"),
        ("link", "/link/france-ix"),
        ("kind", "/kind/content"),
        ("year", "/?last=1y"),
        ("search", "/search?q=net"),
        ("about", "/about?lang=fr"),
        ("nothing", "/search?q=nobody"),
    ] {
        for (size, eyes) in [("desktop", DESKTOP), ("phone", PHONE)] {
            let mut tab = browser.open(&server.url(path), eyes);
            check(&mut tab, &server);
            check_weight(&mut tab);
            assert_eq!(tab.value("document.querySelectorAll('h1').length"), json!(1));
            // A graph has a name and a description; what is behind it is a table.
            let graphs = tab.value("document.querySelectorAll('svg.graph').length");
            assert_eq!(tab.value("document.querySelectorAll('svg.graph[role=img]').length"), graphs);
            assert_eq!(tab.value("document.querySelectorAll('figure details table').length"), graphs);
            tab.screenshot(&format!("{name}-{size}"));
            tab.close();
        }
    }
}

#[test]
fn with_script_the_graph_tells_its_values() {
    if !is_installed() {
        return;
    }
    let server = Server::start(world::questions(2));
    let mut browser = Browser::start();
    let mut tab = browser.open(&server.url("/"), DESKTOP);
    let series = server.api("/series/all.json");
    let place = tab.value(
        "(() => { const box = document.querySelector('.plot').getBoundingClientRect();
           return [box.left + box.width / 2 + 1, box.top + 100] })()",
    );
    tab.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": place[0], "y": place[1]}));
    tab.until("document.querySelector('.tip td') !== null");
    let tip = tab
        .value("[...document.querySelector('.tip tr:nth-child(2)').children].map(cell => cell.textContent)");
    let middle = series["steps"].as_array().unwrap().len() / 2;
    let rate = |direction: &str| {
        let rate = &series["layers"][0]["directions"][direction]["bits_per_second"][middle];
        words::bits_per_second(Lang::En, rate.as_u64().unwrap())
    };
    assert_eq!(tip, json!(["Google LLC", rate("in"), rate("out")]));
    check(&mut tab, &server);
    // The arrow keys go through the steps, Escape ends it.
    tab.value("document.querySelector('.plot').focus()");
    let time = tab.value("document.querySelector('.tip b').textContent");
    let key = |key| json!({"type": "keyDown", "key": key});
    tab.call("Input.dispatchKeyEvent", key("ArrowLeft"));
    assert_ne!(tab.value("document.querySelector('.tip b').textContent"), time);
    tab.call("Input.dispatchKeyEvent", key("ArrowRight"));
    assert_eq!(tab.value("document.querySelector('.tip b').textContent"), time);
    tab.screenshot_of_screen("home-desktop-hover");
    tab.call("Input.dispatchKeyEvent", key("Escape"));
    assert_eq!(tab.value("document.querySelector('.tip')"), Value::Null);
    tab.close();
}

#[test]
fn with_script_the_page_goes_on_by_itself() {
    if !is_installed() {
        return;
    }
    let questions = world::questions(2);
    let view = questions.view().clone();
    let server = Server::start(questions);
    let mut browser = Browser::start();
    let mut tab = browser.open(&server.url("/"), DESKTOP);
    let before = tab.value("document.querySelector('.figures .big').textContent");
    tab.value("document.querySelector('details').open = true");
    world::next_sweep(&view);
    // Half a minute later.
    tab.value("(() => { const now = Date.now; Date.now = () => now() + 31000; })()");
    tab.until(&format!("document.querySelector('.figures .big').textContent !== {before}"));
    assert_eq!(tab.value("document.querySelector('details').open"), json!(true));
    assert_eq!(tab.value("document.querySelector('.plot').dataset.live"), json!("1"));
    check(&mut tab, &server);
    tab.close();
}
