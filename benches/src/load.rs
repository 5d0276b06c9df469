//! Other programs under load: requests over raw connections, and what the programs take of the processors.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use vestibule_tests::{peers::port, process::Process};

/// The first argument where this program is to be a trivial backend: on the port that follows, it answers with the
/// body that comes next, and with the headers that the further arguments name and hold.
const BACKEND: &str = "backend";

/// What one round took.
#[derive(Clone, Debug)]
pub struct Round {
    /// Requests each second.
    pub rate: f64,
    /// CPU microseconds a request, of each of the programs that were asked about.
    pub cpu: Vec<f64>,
}

impl Round {
    /// CPU microseconds a request, of all of the programs.
    #[must_use]
    pub fn whole(&self) -> f64 {
        self.cpu.iter().sum()
    }
}

/// Asks `count` times, over as many connections as there are `requests`, which is text for each of them to send again
/// and again; `last` is how each answer ends. `programs` are those whose processor time counts.
///
/// # Panics
///
/// Where an answer is an error.
pub async fn round(port: u16, requests: &[String], count: usize, last: &'static str, programs: &[u32]) -> Round {
    let before: Vec<f64> = programs.iter().copied().map(cpu).collect();
    let began = Instant::now();
    let each = count / requests.len().max(1);
    let workers: Vec<_> = requests.iter().map(|request| tokio::spawn(ask(port, request.clone(), each, last))).collect();
    for worker in workers {
        worker.await.expect("every request passes");
    }
    let (took, count) = (began.elapsed().as_secs_f64(), (each * requests.len()) as f64);
    let taken = programs.iter().zip(before).map(|(program, before)| (cpu(*program) - before) * 1e6 / count);
    Round { rate: count / took, cpu: taken.collect() }
}

/// One connection that asks `count` times, one request after the other.
async fn ask(port: u16, request: String, count: usize, last: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = vec![0; 16 * 1024];
    for _ in 0..count {
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut length = 0;
        loop {
            let read = stream.read(buffer.get_mut(length..).unwrap_or_default()).await.expect("an answer");
            assert!(read > 0, "the connection ended");
            length += read;
            let answer = buffer.get(..length).unwrap_or_default();
            if answer.ends_with(last.as_bytes()) {
                assert!(answer.starts_with(b"HTTP/1.1 200 "), "refused");
                break;
            }
            assert!(!answer.starts_with(b"HTTP/1.1 4") && !answer.starts_with(b"HTTP/1.1 5"), "refused");
        }
    }
}

/// Is this program to be a trivial backend? Then it is one until it is ended.
///
/// # Panics
///
/// Where it cannot listen.
pub async fn be_a_backend() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, port, body, headers @ ..] = arguments.as_slice()
        && first == BACKEND
    {
        backend(port.parse().expect("a port"), body, headers).await;
    }
}

/// Starts a trivial backend that answers `body` with `headers`, each as `name: value`; and its port.
///
/// # Panics
///
/// Where it does not start.
#[must_use]
pub fn trivial_backend(body: &str, headers: &[String]) -> (u16, Process) {
    let port = port();
    let own = std::env::current_exe().expect("this program");
    let mut backend = Process::start(
        "the trivial backend",
        Command::new(own).args([BACKEND, &port.to_string(), body]).args(headers).stdout(Stdio::null()),
    );
    backend.wait_for_port(port);
    (port, backend)
}

/// A trivial backend: says yes, and nothing that it would have to find out.
async fn backend(port: u16, body: &str, headers: &[String]) {
    let body = Bytes::copy_from_slice(body.as_bytes());
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
        let (body, headers) = (body.clone(), headers.clone());
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let mut response = Response::new(http_body_util::Full::new(body.clone()));
            *response.headers_mut() = headers.clone();
            async { Ok::<_, std::convert::Infallible>(response) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Processor seconds of a program so far, and of the processes that it started.
#[must_use]
pub fn cpu(program: u32) -> f64 {
    cpu_of(program) + children(program).into_iter().map(cpu_of).sum::<f64>()
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
///
/// # Panics
///
/// Where there is no such process.
#[must_use]
pub fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    let kib: f64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    kib / 1024.0
}

/// The one in the middle; 0 of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
