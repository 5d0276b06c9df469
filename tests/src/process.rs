//! Programs that a test starts: on free ports, and ended with the test.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How long a program may take until it listens.
const READY_MAX: Duration = Duration::from_secs(120);

/// How long a program may take until it says its first line.
const FIRST_LINE_MAX: Duration = Duration::from_secs(40);

/// How often such a program is started.
const STARTS_MAX: u32 = 3;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a parent").to_owned()
}

/// The gateway's program, as `make build` leaves it beside the tests' own.
#[must_use]
pub fn vestibule() -> PathBuf {
    let mut path = std::env::current_exe().expect("a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("vestibule");
    assert!(path.exists(), "{} is missing: run `cargo build --release` first", path.display());
    path
}

/// The gateway's program without a compiler, as `make edge` leaves it beside the other one.
#[must_use]
pub fn vestibule_edge() -> PathBuf {
    let path = vestibule().with_file_name("vestibule-edge");
    assert!(path.exists(), "{} is missing: run `make edge` first", path.display());
    path
}

/// A program that `scripts/setup test` installed for this clone alone.
#[must_use]
pub fn installed(name: &str) -> PathBuf {
    root().join("tests/peers/.venv/bin").join(name)
}

/// Node.js: this clone's own, where the machine's is too old, or the machine's.
#[must_use]
pub fn node() -> PathBuf {
    let own = installed("node");
    if own.exists() { own } else { PathBuf::from("node") }
}

/// A port for a program that is started later, and handed out to nobody else.
///
/// Not one of those that the system gives to a connection or to a listener on port 0: between
/// this call and the program's start, another test would get it.
///
/// # Panics
///
/// Where no port is left.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const MANY: u16 = 20_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Test programs that run one after the other begin at different ones: a port that was just
    // closed may still be in use.
    let next = NEXT.get_or_init(|| AtomicU16::new((std::process::id().wrapping_mul(97) % u32::from(MANY)) as u16));
    (0..MANY)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % MANY)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}

/// A running program; dropped, it ends.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command`; its standard error goes where the test's own goes.
    ///
    /// # Panics
    ///
    /// Where it does not start: a test without its peer is no test.
    #[must_use]
    pub fn start(name: &str, command: &mut Command) -> Self {
        let child =
            command.spawn().unwrap_or_else(|error| panic!("failed to start {name}: {error} (run `make setup-test`)"));
        Self { name: name.to_owned(), child }
    }

    /// Starts `command` and reads the first line that it prints.
    ///
    /// A program that says nothing for `FIRST_LINE_MAX` is ended and started again: Node.js was seen to sleep for
    /// ever before its first line, once in some hundred starts, and that is nothing that a test here is about.
    ///
    /// # Panics
    ///
    /// As [`Process::start`], or where it ends without a line, or says none at the third start either.
    #[must_use]
    pub fn start_with_line(name: &str, command: &mut Command) -> (Self, String, BufReader<ChildStdout>) {
        for _ in 0..STARTS_MAX {
            let mut process = Self::start(name, command.stdout(Stdio::piped()));
            let mut output = BufReader::new(process.child.stdout.take().expect("a pipe"));
            let (said, hear) = mpsc::channel();
            thread::spawn(move || {
                let mut line = String::new();
                let read = output.read_line(&mut line);
                // Nobody listens any more where the time is over.
                let _ = said.send(read.map(|_| (line, output)));
            });
            if let Ok(read) = hear.recv_timeout(FIRST_LINE_MAX) {
                let (line, output) = read.expect("a line");
                assert!(!line.is_empty(), "{name} ended before it was ready");
                return (process, line, output);
            }
        }
        panic!("{name} has said nothing at {STARTS_MAX} starts, {} s each", FIRST_LINE_MAX.as_secs())
    }

    /// Waits until something listens on `port`.
    ///
    /// # Panics
    ///
    /// Where the program ends first, or takes too long.
    #[expect(clippy::disallowed_methods, reason = "another program's port has no event to wait for")]
    pub fn wait_for_port(&mut self, port: u16) {
        let began = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended: {status}", self.name);
            }
            assert!(began.elapsed() < READY_MAX, "{} does not listen on port {port}", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the end and says how it ended.
    ///
    /// # Panics
    ///
    /// Where it cannot be waited for.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("an end")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM first: nginx and Traefik take their children with them.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
