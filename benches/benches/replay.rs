//! How many recorded logins a candidate is asked about in a second: the chain of five ready-made policies, a
//! recording as a gateway writes it, all cores.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use vestibule::{
    clock::SystemClock,
    config,
    decision::{Account, Asked, Bounds, Conclusion, Context, Decided, Found, Held, Search},
    keys::{self, KeyRing},
    login::Candidate,
    policy::Generation,
    recording::{Log, Noted, Range},
    replay::{self, Options},
};
use vestibule_benches::login::{chain_of_five, components, context, identity};

/// `REPLAY_DECISIONS` takes another number.
const DECISIONS: usize = 100_000;

/// Decisions that are written with one wait for the disk.
const BATCH: usize = 256;

fn main() {
    if chain_of_five().iter().any(|(name, _)| !components().join(format!("{name}.wasm")).exists()) {
        println!("no components found: `make policies` builds them");
        return;
    }
    let decisions = std::env::var_os("REPLAY_DECISIONS")
        .map_or(DECISIONS, |text| text.to_string_lossy().parse().expect("REPLAY_DECISIONS is a number"));
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("vestibule.toml");
    fs::write(&path, configuration(folder.path())).expect("a file");
    let config = config::load(&path).expect("a configuration");
    keys::generate(&config.keys.directory, &SystemClock).expect("a key ring");
    let keys = Arc::new(KeyRing::open(&config.keys, Arc::new(SystemClock)).expect("a key ring"));
    let threads = thread::available_parallelism().expect("a number of cores");
    let recording = config.recording.clone().expect("a recording");
    let generation = replay::load(config, threads.get()).expect("the candidate can be asked");

    let began = Instant::now();
    let mut log = Log::open(&recording, Arc::clone(&keys), Arc::new(SystemClock)).expect("a recording");
    let first = first(&generation);
    let recipe = generation.recipe("wiki").cloned();
    for start in (0..decisions).step_by(BATCH) {
        let noted: Vec<Noted> = (start..decisions.min(start + BATCH))
            .map(|number| {
                let mut decided = Box::new(first.clone());
                decided.asked.context.login = format!("login-{number}");
                // Everybody logs in ten times.
                decided.asked.identity.subject = format!("subject-{}", number / 10);
                Noted::Login { decided, known: None, recipe: recipe.clone() }
            })
            .collect();
        log.append(&noted, 0).expect("it is written");
    }
    let bytes: u64 = fs::read_dir(&recording.directory)
        .expect("a folder")
        .map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |data| data.len()))
        .sum();
    println!(
        "{decisions} decisions recorded in {:.1} s, {} bytes each",
        began.elapsed().as_secs_f64(),
        bytes / u64::try_from(decisions.max(1)).expect("a number")
    );
    for threads in [NonZeroUsize::MIN, threads] {
        let took = once(&keys, &generation, &recording.directory, threads, decisions);
        println!(
            "{decisions} decisions asked anew by {threads} threads in {:.1} s: {:.0} a second",
            took.as_secs_f64(),
            decisions as f64 / took.as_secs_f64()
        );
    }
}

fn once(
    keys: &KeyRing,
    generation: &Arc<Generation>,
    recording: &Path,
    threads: NonZeroUsize,
    decisions: usize,
) -> Duration {
    let began = Instant::now();
    let options = Options {
        recording,
        range: Range::default(),
        threads,
        skip_damaged: false,
        names_max: 20,
        protected: BTreeMap::new(),
        progress: &|_| {},
    };
    let report = replay::run(keys, generation, &options).expect("the recording is whole");
    let took = began.elapsed();
    assert!(report.same && report.counts.decisions == u64::try_from(decisions).expect("a number"), "{report}");
    took
}

/// A login as the chain decides it.
fn first(generation: &Arc<Generation>) -> Decided {
    let account = Account { active: true, groups: vec!["app-1".into()], ..Account::default() };
    let session = &generation.config().session;
    let asked = Asked {
        context: Context { application: "wiki".into(), ..context() },
        identity: identity(),
        canary: false,
        routed: None,
        held: Held::Yes,
        may_step_up: true,
        elapsed: 1,
    };
    let found = Found {
        bounds: Bounds {
            lifetime: session.lifetime,
            idle: session.idle,
            remember_lifetime: session.remember_lifetime,
            remember: session.remember,
        },
        reached_groups: true,
        linked: Some(Ok(Some(account.clone()))),
        account: Some(Search { key: None, found: Ok(Some(account)) }),
        ..Found::default()
    };
    let again = Candidate::new(Arc::clone(generation)).decide(&asked, &found, None);
    assert!(matches!(again.conclusion, Conclusion::Admitted(_)), "{:?}", again.conclusion);
    Decided {
        request: "0123456789abcdef".into(),
        generation: Arc::from(generation.digest()),
        asked,
        found,
        conclusion: again.conclusion,
        answers: again.answers,
    }
}

fn configuration(folder: &Path) -> String {
    let mut text = "[server]\npublic-url = \"https://gate.example.com\"\n[keys]\ndirectory = \"keys\"\n\
         [recording]\ndirectory = \"recording\"\n[upstreams.corp]\npreset = \"google\"\nclient-id = \"c\"\n\
         client-secret = \"s\"\n"
        .to_owned();
    let mut names = Vec::new();
    for (name, settings) in chain_of_five() {
        fs::write(folder.join(format!("{name}.json")), settings.to_string()).expect("a file");
        let component = components().join(format!("{name}.wasm"));
        write!(text, "[policies.{name}]\ncomponent = {component:?}\nsettings = \"{name}.json\"\n").expect("a text");
        names.push(name);
    }
    write!(
        text,
        "[applications.wiki]\nurl = \"https://wiki.example.com/\"\nupstreams = [\"corp\"]\nchain = {names:?}\n\
         [applications.wiki.forward-auth]\n"
    )
    .expect("a text");
    text
}
