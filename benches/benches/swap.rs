//! What a hot swap costs: logins while generations come and go, and how long it takes from a
//! changed file to the new generation in force.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use vestibule::{
    clock::SystemClock,
    config::{self, Config},
    policy::{Cache, Engine, GenerationEvent, Generations, Outcome, Watch},
    secret::Secret,
};
use vestibule_benches::{
    login::{chain_of_five, components, context, decide, identity},
    measure::Times,
};

/// Logins, at least, and swaps meanwhile.
const LOGINS: usize = 10_000;
const SWAPS: u32 = 100;

/// Samples of each time from a change to a generation.
const SAMPLES: u32 = 10;

/// No generation takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    if !components().join("session-terms.wasm").exists() {
        println!("no components found: `make policies` builds them");
        return;
    }
    logins_during_swaps();
    from_change_to_force();
}

/// The logins of one thread while another swaps as fast as it can, beside the same logins
/// with nothing else going on.
fn logins_during_swaps() {
    let folder = Folder::new();
    let generations = Arc::new(folder.open(Box::new(|_| {})));
    let identity = identity();
    let login = || {
        let generation = generations.current();
        let run = generation.begin(context()).expect("the chain is there");
        let trace = decide(run, &identity, |_| {});
        // All of its answers are of policies of the one generation with which it began.
        assert_eq!(trace.generation, generation.number(), "a login of two generations");
        assert!(
            trace.policies.iter().all(|policy| generation.policies().any(|known| known == policy)),
            "a policy of another generation"
        );
        trace.generation
    };
    let quiet = Times::take(|| _ = login());

    let swapped = AtomicBool::new(false);
    let (times, seen) = thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..SWAPS {
                folder.write("session-terms.toml", &format!("lifetime-s = {}\n", 1000 + round));
                assert_eq!(generations.reload().outcome, Outcome::InForce);
            }
            swapped.store(true, Ordering::Release);
        });
        let mut times = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        while times.len() < LOGINS || !swapped.load(Ordering::Acquire) {
            let start = Instant::now();
            seen.insert(login());
            times.push(start.elapsed());
        }
        (times, seen)
    });
    let (count, times) = (times.len(), Times::of(times));
    println!("{count} logins through a chain of five, {SWAPS} swaps meanwhile: none failed, each of one generation;");
    println!("  {} generations decided", seen.len());
    println!("  median {:>7.1} µs, p99 {:>8.1} µs while rules are swapped", times.median(), times.percentile(99));
    println!("  median {:>7.1} µs, p99 {:>8.1} µs otherwise\n", quiet.median(), quiet.percentile(99));
}

/// From the moment that a file is in place to the moment that the next login is decided by
/// it, with the directory watch as a gateway has it.
fn from_change_to_force() {
    let folder = Folder::new();
    let (sender, events) = mpsc::channel();
    let began = Instant::now();
    let generations = folder.open(Box::new(move |event: &GenerationEvent| drop(sender.send(event.clone()))));
    println!("the first generation, nothing cached: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    drop(generations);
    events.try_iter().for_each(drop);

    let (sender, events) = mpsc::channel();
    let began = Instant::now();
    let generations = Arc::new(folder.open(Box::new(move |event: &GenerationEvent| drop(sender.send(event.clone())))));
    println!("the first generation, from the cache: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    wait(&events);
    let _watch = Watch::start(Arc::clone(&generations)).expect("the files can be watched");

    println!(
        "from a changed file to the generation in force, 50 ms of waiting for quiet included (median of {SAMPLES})"
    );
    for policy in ["session-terms", "group-mapping"] {
        let component = fs::read(components().join(format!("{policy}.wasm"))).expect("a component");
        // Another component of the same behaviour: one custom section more.
        let with = |round: u32| {
            let mut bytes = component.clone();
            bytes.extend([0, 9, 4]);
            bytes.extend(b"next");
            bytes.extend(round.to_le_bytes());
            bytes
        };
        let mut cold = |round| folder.replace(&format!("{policy}.wasm"), &with(round), &events);
        let compiled: Vec<_> = (0..SAMPLES).map(&mut cold).collect();
        let cached: Vec<_> = (0..SAMPLES).map(&mut cold).collect();
        show(&format!("{policy}: a new component"), compiled);
        show(&format!("{policy}: a component known before"), cached);
    }
    let settings = |round: u32| format!("lifetime-s = {}\n", 2000 + round);
    let mut change = |round| folder.replace("session-terms.toml", settings(round).as_bytes(), &events);
    let compiled: Vec<_> = (0..SAMPLES).map(&mut change).collect();
    let cached: Vec<_> = (0..SAMPLES).map(&mut change).collect();
    show("session-terms: new settings", compiled);
    show("session-terms: settings known before", cached);
}

fn show(what: &str, times: Vec<Duration>) {
    println!("  {what:<44} {:>7.0} ms", Times::of(times).median() / 1e3);
}

/// The event of the next generation.
fn wait(events: &Receiver<GenerationEvent>) -> GenerationEvent {
    let event = events.recv_timeout(PATIENCE).expect("a generation");
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    event
}

/// A gateway's folder: a configuration, components and settings.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        let mut policies = String::new();
        let mut chain = Vec::new();
        for (name, settings) in chain_of_five() {
            let component = format!("{name}.wasm");
            fs::copy(components().join(&component), folder.0.path().join(&component)).expect("a component");
            let file = if name == "session-terms" { "session-terms.toml".into() } else { format!("{name}.json") };
            if name == "session-terms" {
                folder.write(&file, "lifetime-s = 3600\n");
            } else {
                folder.write(&file, &settings.to_string());
            }
            policies.push_str(&format!("[policies.{name}]\ncomponent = \"{component}\"\nsettings = \"{file}\"\n"));
            chain.push(name);
        }
        folder.write(
            "vestibule.toml",
            &format!(
                "[server]\npublic-url = \"https://login.example.com\"\ntrusted-proxies = [\"127.0.0.1\"]\n\
                 [policies]\nlimits = {{ deadline-ms = 1000 }}\n{policies}\
                 [upstreams.corp]\nissuer = \"https://login.example.com/tenant\"\nclient-id = \"c\"\nclient-secret = \"s\"\n\
                 [applications.wiki]\nurl = \"https://wiki.example.com/\"\nupstreams = [\"corp\"]\nchain = {chain:?}\n\
                 [applications.wiki.forward-auth]\n"
            ),
        );
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("a file");
    }

    fn config(&self) -> Config {
        config::load(&self.path().join("vestibule.toml")).unwrap_or_else(|problems| panic_with(&problems.to_string()))
    }

    fn open(&self, listener: vestibule::policy::Listener) -> Generations {
        let config = self.config();
        let cache = Cache::open(&self.path().join("cache"), &Secret::new(vec![7; 32])).expect("a cache");
        let engine = Engine::new(&config.policies.limits, Some(cache)).expect("the sandbox can be set up");
        Generations::open(config, engine, Arc::new(SystemClock), listener)
    }

    /// Puts a file in place, whole, and says how long it took to be in force.
    fn replace(&self, name: &str, bytes: &[u8], events: &Receiver<GenerationEvent>) -> Duration {
        let beside = self.path().join("beside");
        settle();
        fs::write(&beside, bytes).expect("a file");
        let start = Instant::now();
        fs::rename(beside, self.path().join(name)).expect("a file");
        wait(events);
        start.elapsed()
    }
}

/// Lets the watch come to rest: the next change is then one that it is told of.
#[expect(clippy::disallowed_methods, reason = "that nothing happens has no event to wait for")]
fn settle() {
    thread::sleep(Duration::from_millis(200));
}

#[expect(clippy::panic, reason = "a bench stops where it stands")]
fn panic_with(text: &str) -> ! {
    panic!("{text}")
}
