//! What the gateway costs as a program: start, memory, and a forward-auth check beside nginx
//! `auth_request` to a trivial backend.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{
    convert::Infallible,
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use http_body_util::Empty;
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use vestibule_tests::{
    browser::Browser,
    gateway::Gateway,
    peers::{Nginx, port},
    process::Process,
};

/// Connections that ask at the same time.
const CONNECTIONS: usize = 16;
/// Requests of one round.
const REQUESTS: usize = 40_000;
/// Rounds; the median counts.
const ROUNDS: usize = 5;
/// Before the port, as the first argument: this program is to be a trivial backend, which answers
/// with the headers that the further arguments name and hold.
const BACKEND: &str = "backend=";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Some(port) = std::env::args().nth(1).and_then(|argument| argument.strip_prefix(BACKEND).map(str::to_owned)) {
        let headers: Vec<String> = std::env::args().skip(2).collect();
        runtime.block_on(backend(port.parse().expect("a port"), &headers));
    }
    runtime.block_on(run());
}

async fn run() {
    let mut gateway = Gateway::new();
    let site = port();
    configure(&gateway, site);
    starts_and_memory(&mut gateway);

    // The proxies, one for each way, all alike but for whom they ask.
    let (bare, backend) = trivial_backend(&[]);
    let folders: Vec<TempDir> = (0..4).map(|_| TempDir::new().expect("a folder")).collect();
    let mut folder = folders.iter().map(TempDir::path);
    let mut proxy = |port: u16, backend: u16, ask: &str| {
        Nginx::start(folder.next().expect("a folder"), port, &nginx(port, gateway.port, backend, ask))
    };
    let with_gateway = proxy(site, gateway.port, "proxy_pass http://asked/vestibule/verify/app;");
    let with_trivial = proxy(port(), bare, "proxy_pass http://asked/;");
    let with_nginx = proxy(port(), bare, "return 204;");

    let cookie = log_in(site).await;
    let (same, as_much) = trivial_backend(&identity(gateway.port, site, &cookie).await);
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
        let (rate, whole, asked) =
            (figure(|round| round.rate), figure(|round| round.whole), figure(|round| round.asked));
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

/// What one round took.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Requests each second.
    rate: f64,
    /// CPU microseconds a request: nginx and whom it asks.
    whole: f64,
    /// CPU microseconds a request: whom nginx asks.
    asked: f64,
}

/// [`REQUESTS`] requests on [`CONNECTIONS`] connections.
async fn round(proxy: &Nginx, asked: Option<u32>, cookie: &str) -> Round {
    let request = format!(
        "GET /board HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nuser-agent: bench\r\naccept: text/html\r\ncookie: {cookie}\r\n\r\n",
        proxy.port
    );
    let cpu = |of: u32| cpu_of(of) + children(of).into_iter().map(cpu_of).sum::<f64>();
    let (proxy_before, asked_before) = (cpu(proxy.id()), asked.map_or(0.0, cpu));
    let began = Instant::now();
    let workers: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(ask(proxy.port, request.clone(), REQUESTS / CONNECTIONS))).collect();
    for worker in workers {
        worker.await.expect("every request passes");
    }
    let took = began.elapsed();
    let (proxy, asked) = (cpu(proxy.id()) - proxy_before, asked.map_or(0.0, cpu) - asked_before);
    let each = |seconds: f64| seconds * 1e6 / REQUESTS as f64;
    Round { rate: REQUESTS as f64 / took.as_secs_f64(), whole: each(proxy + asked), asked: each(asked) }
}

/// One connection that asks `count` times, one request after the other.
async fn ask(port: u16, request: String, count: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = vec![0; 4096];
    for _ in 0..count {
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut length = 0;
        loop {
            let read = stream.read(buffer.get_mut(length..).unwrap_or_default()).await.expect("an answer");
            assert!(read > 0, "the connection ended");
            length += read;
            let answer = buffer.get(..length).unwrap_or_default();
            if answer.ends_with(b"\r\n\r\nin") {
                assert!(answer.starts_with(b"HTTP/1.1 200 "), "refused");
                break;
            }
            assert!(!answer.starts_with(b"HTTP/1.1 4") && !answer.starts_with(b"HTTP/1.1 5"), "refused");
        }
    }
}

/// Starts a trivial backend that answers with `headers`, each as `name: value`; and its port.
fn trivial_backend(headers: &[String]) -> (u16, Process) {
    let port = port();
    let own = std::env::current_exe().expect("this program");
    let mut backend = Process::start(
        "the trivial backend",
        Command::new(own).arg(format!("{BACKEND}{port}")).args(headers).stdout(Stdio::null()),
    );
    backend.wait_for_port(port);
    (port, backend)
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

/// A trivial backend: says yes, and nothing that it would have to find out.
async fn backend(port: u16, headers: &[String]) {
    let headers: hyper::HeaderMap = headers
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            let name = hyper::header::HeaderName::try_from(name).expect("a name");
            (name, hyper::header::HeaderValue::try_from(value).expect("a value"))
        })
        .collect();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let headers = headers.clone();
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.headers_mut() = headers.clone();
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Processor seconds of a process so far, user's and system's.
fn cpu_of(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok()).expect("a number");
    #[expect(unsafe_code, reason = "the standard library has no sysconf")]
    // SAFETY: reads a constant of the system.
    let each_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    (ticks(11) + ticks(12)) / each_second as f64
}

/// The processes that a process started.
fn children(process: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Resident memory, in MiB.
fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib / 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
