//! What the gateway costs as a program: start, memory, and a forward-auth check beside nginx
//! `auth_request` to a trivial backend.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{
    fs,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use vestibule_benches::load::{self, Round, median, resident, trivial_backend};
use vestibule_tests::{
    browser::Browser,
    gateway::Gateway,
    peers::{Nginx, port},
};

/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;
/// Requests of one round.
const REQUESTS: usize = 40_000;
/// Rounds; the median counts.
const ROUNDS: usize = 5;
fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        load::be_a_backend().await;
        run().await;
    });
}

async fn run() {
    let mut gateway = Gateway::new();
    let site = port();
    configure(&gateway, site);
    starts_and_memory(&mut gateway);

    // The proxies, one for each way, all alike but for whom they ask.
    let (bare, backend) = trivial_backend("", &[]);
    let folders: Vec<TempDir> = (0..4).map(|_| TempDir::new().expect("a folder")).collect();
    let mut folder = folders.iter().map(TempDir::path);
    let mut proxy = |port: u16, backend: u16, ask: &str| {
        Nginx::start(folder.next().expect("a folder"), port, &nginx(port, gateway.port, backend, ask))
    };
    let with_gateway = proxy(site, gateway.port, "proxy_pass http://asked/vestibule/verify/app;");
    let with_trivial = proxy(port(), bare, "proxy_pass http://asked/;");
    let with_nginx = proxy(port(), bare, "return 204;");

    let cookie = log_in(site).await;
    let (same, as_much) = trivial_backend("", &identity(gateway.port, site, &cookie).await);
    let with_as_much = proxy(port(), same, "proxy_pass http://asked/;");
    println!(
        "\na request through nginx with a session of {} bytes ({REQUESTS} requests on {CONNECTIONS} connections,",
        cookie.len()
    );
    println!("median of {ROUNDS} rounds, the four ways in turn)");
    let gateway_id = gateway.id().expect("a program");
    let ways = [
        ("the gateway", &with_gateway, Some(gateway_id)),
        ("a trivial backend (hyper)", &with_trivial, Some(backend.id())),
        ("the same, fixed headers too", &with_as_much, Some(as_much.id())),
        ("nginx itself (`return 204`)", &with_nginx, None),
    ];
    let mut results: Vec<Vec<Round>> = vec![Vec::new(); ways.len()];
    for _ in 0..ROUNDS {
        for ((_, proxy, asked), rounds) in ways.iter().zip(&mut results) {
            rounds.push(round(proxy, *asked, &cookie).await);
        }
    }
    println!("  {:<28} {:>10} {:>14} {:>14}", "auth_request asks", "requests/s", "CPU µs, whole", "CPU µs, asked");
    let mut figures = Vec::new();
    for ((name, ..), rounds) in ways.iter().zip(&results) {
        let figure = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
        let (rate, whole, asked) = (
            figure(|round| round.rate),
            figure(Round::whole),
            figure(|round| round.cpu.get(1).copied().unwrap_or_default()),
        );
        println!("  {name:<28} {rate:>10.0} {whole:>14.1} {asked:>14.1}");
        figures.push((whole, asked));
    }
    if let [(whole, asked), others @ ..] = &figures[..] {
        let what = ["the trivial backend", "one that answers with the same headers, but always the same ones"];
        for ((other_whole, other_asked), what) in others.iter().zip(what) {
            println!(
                "the gateway takes {:.2} times the CPU of {what}, nginx included in both; {:.2} times without nginx",
                whole / other_whole,
                asked / other_asked
            );
        }
    }
    println!("resident after that: {:.1} MiB", resident(gateway_id));
}

/// How long a start takes with and without the cache, and what is resident after it.
fn starts_and_memory(gateway: &mut Gateway) {
    let cache = gateway.path("cache");
    let mut start = |name: &str, forget: bool| {
        if forget {
            let _ = fs::remove_dir_all(&cache);
        }
        let began = Instant::now();
        gateway.start();
        let took = began.elapsed();
        // What a start leaves behind is given back a moment later.
        settle();
        let id = gateway.id().expect("a program");
        println!(
            "start with nine policies, {name}: {:.0} ms; resident {:.1} MiB",
            took.as_secs_f64() * 1e3,
            resident(id)
        );
        gateway.stop();
    };
    start("nothing cached", true);
    start("from the cache", false);
    gateway.start();
}

#[expect(clippy::disallowed_methods, reason = "another program's memory has no event to wait for")]
fn settle() {
    std::thread::sleep(Duration::from_secs(1));
}

fn configure(gateway: &Gateway, site: u16) {
    let nine = [
        ("redirection-rules", "default = { to = \"local-form\" }\n"),
        ("domain-restriction", "allowed-domains = \"example.test\"\n"),
        ("attribute-mapping", "match-by = \"username\"\n"),
        ("group-mapping", "on-the-fly = true\n"),
        ("default-groups", "groups = [\"everybody\"]\n"),
        ("account-rules", "reactivate = false\n"),
        ("session-terms", "lifetime-s = 3600\n"),
        ("admin-reauth", "admin-paths = [\"/admin/*\"]\n"),
        ("emergency-access", "groups = [\"emergency\"]\n"),
    ];
    let mut tables = String::new();
    for (name, settings) in nine {
        gateway.write(&format!("settings/{name}.toml"), settings);
        tables.push_str(&format!(
            "[policies.{name}]\ncomponent = \"policies/{name}.wasm\"\nsettings = \"settings/{name}.toml\"\n\n"
        ));
    }
    let hash = vestibule::upstream::hash_password(&vestibule::secret::Secret::new("alice-demo".to_owned()))
        .expect("randomness");
    let groups: Vec<String> = (0..20).map(|group| format!("group-{group}")).collect();
    gateway.write(
        "accounts.toml",
        &format!(
            "[accounts.alice]\npassword = \"{hash}\"\nemail = \"alice@example.test\"\nemail-verified = true\n\
             display-name = \"Alice Arnold\"\ngroups = {groups:?}\n"
        ),
    );
    let chain: Vec<&str> = nine.iter().map(|(name, _)| *name).filter(|name| *name != "emergency-access").collect();
    gateway.configure(&format!(
        "{tables}[accounts]\nfile = \"accounts.toml\"\n\n[upstreams.local]\nkind = \"local\"\n\n\
         [applications.app]\nurl = \"http://127.0.0.1:{site}/\"\nupstreams = [\"local\"]\nchain = {chain:?}\n\n\
         [applications.app.forward-auth]\n"
    ));
    // The limits and the log of an operator, not of the tests.
    let text = fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
    let text = text.replace("filter = \"info\"", "filter = \"warn\"").replace("poll-ms = 200\n", "");
    let cache = gateway.path("cache");
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some(("cache", _)) => format!("cache = \"{}\"\n", cache.display()),
        _ => format!("{line}\n"),
    });
    gateway.write("vestibule.toml", &lines.collect::<String>());
}

/// One server that asks `ask` about each request, and answers by itself if it may pass.
fn nginx(port: u16, gateway: u16, backend: u16, ask: &str) -> String {
    format!(
        "upstream asked {{ server 127.0.0.1:{backend}; keepalive 32; }}\n\
         server {{\n listen 127.0.0.1:{port}; keepalive_requests 1000000;\n\
         location / {{ auth_request /_ask; try_files /none @in; }}\n\
         location @in {{ return 200 'in'; }}\n\
         location /vestibule/ {{ proxy_pass http://127.0.0.1:{gateway}; proxy_redirect off; {forwarded} }}\n\
         location = /_ask {{ internal; {ask} proxy_pass_request_body off; proxy_http_version 1.1;\n\
         proxy_set_header Connection ''; proxy_set_header Content-Length '';\n\
         proxy_set_header X-Original-Method $request_method; proxy_set_header X-Original-URI $request_uri;\n\
         {forwarded} }}\n}}\n",
        forwarded = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Host $http_host; \
                     proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-For $remote_addr;",
    )
}

/// Logs in at the gateway's own form; the application's `Cookie`.
async fn log_in(site: u16) -> String {
    let mut browser = Browser::new();
    let url = format!("http://127.0.0.1:{site}");
    let page = browser.get(&format!("{url}/vestibule/start/app?rd=%2F")).await;
    assert_eq!(
        page.forms().len(),
        1,
        "no login form, but {} at {} after {:?}: {}",
        page.status,
        page.url,
        browser.trail.iter().map(|page| page.url.as_str()).collect::<Vec<_>>(),
        page.body
    );
    let form = page.forms().into_iter().next().expect("a form");
    let page = browser.submit(&form.with("username", "alice").with("password", "alice-demo")).await;
    assert_eq!((page.status.as_u16(), page.body.as_str()), (200, "in"), "alice is not in");
    let cookies = browser.cookies("127.0.0.1");
    let session = cookies.iter().filter(|(name, _)| name.starts_with("vestibule-app-app"));
    session.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}

/// [`REQUESTS`] requests on [`CONNECTIONS`] connections: nginx, and whom it asks.
async fn round(proxy: &Nginx, asked: Option<u32>, cookie: &str) -> Round {
    let request = format!(
        "GET /board HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nuser-agent: bench\r\naccept: text/html\r\ncookie: {cookie}\r\n\r\n",
        proxy.port
    );
    let programs: Vec<u32> = [proxy.id()].into_iter().chain(asked).collect();
    load::round(proxy.port, &vec![request; CONNECTIONS], REQUESTS, "\r\n\r\nin", &programs).await
}

/// What the gateway answers about a request of this session.
async fn identity(gateway: u16, site: u16, cookie: &str) -> Vec<String> {
    let url = format!("http://127.0.0.1:{gateway}/vestibule/verify/app").parse().expect("an address");
    let host = format!("127.0.0.1:{site}");
    let asks = [
        ("x-forwarded-host", host.as_str()),
        ("x-forwarded-proto", "http"),
        ("x-original-uri", "/board"),
        ("x-original-method", "GET"),
        ("cookie", cookie),
    ];
    let answer = Browser::new().request(hyper::Method::GET, &url, None, &asks).await;
    assert_eq!(answer.status, 200, "not let in: {}", answer.body);
    let own = |name: &&hyper::header::HeaderName| !["date", "content-length"].contains(&name.as_str());
    let names = answer.headers.keys().filter(own);
    names.map(|name| format!("{name}: {}", answer.header(name.as_str()))).collect()
}
