//! A gateway with a compiler beside one without: how large the program is, how long it takes from its start until it
//! answers, and what it holds then.

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a bench, not the gateway")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use vestibule_benches::load::{median, resident};
use vestibule_tests::{
    gateway::Gateway,
    process::{vestibule, vestibule_edge},
};

/// Starts of each kind; the median counts.
const STARTS: usize = 15;

/// The policies and their settings.
const NINE: [(&str, &str); 9] = [
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

/// One way to start, and what it came to.
struct Row {
    name: &'static str,
    program: PathBuf,
    /// In milliseconds.
    start: f64,
    /// In MiB.
    resident: f64,
}

fn main() {
    let (whole, edge) = programs();
    let gateway = Gateway::new();
    let components = configure(&gateway);
    let with_cache = components.replace("[policies]\n", &format!("[policies]\ncache = {:?}\n", gateway.path("cache")));
    let packed = pack(&gateway, &whole, &components);

    let mut rows = Vec::new();
    let mut measure = |name, program: &Path, configuration: &str, forget: bool| {
        gateway.write("vestibule.toml", configuration);
        let starts: Vec<(f64, f64)> = (0..STARTS)
            .map(|_| {
                if forget {
                    let _ = fs::remove_dir_all(gateway.path("cache"));
                }
                start(&gateway, program)
            })
            .collect();
        rows.push(Row {
            name,
            program: program.to_owned(),
            start: median(starts.iter().map(|(start, _)| *start).collect()),
            resident: median(starts.iter().map(|(_, resident)| *resident).collect()),
        });
    };
    measure("whole, nothing cached", &whole, &with_cache, true);
    measure("whole, from its cache", &whole, &with_cache, false);
    measure("whole, from a pack", &whole, &packed, false);
    measure("edge, from a pack", &edge, &packed, false);

    println!("nine policies; the median of {STARTS} starts, from the process's start until it answers");
    println!("  {:<24} {:>14} {:>10} {:>14}", "", "program, MiB", "start, ms", "resident, MiB");
    for Row { name, program, start, resident } in &rows {
        println!("  {name:<24} {:>14.1} {start:>10.1} {resident:>14.1}", stripped(program, &gateway));
    }
    let bytes = fs::metadata(gateway.path("generation.pack")).expect("a pack").len();
    println!("the pack has {:.1} MiB", mebibytes(bytes));
}

/// The two programs: those of `VESTIBULE_PROGRAMS`, or those beside the bench.
fn programs() -> (PathBuf, PathBuf) {
    match std::env::var_os("VESTIBULE_PROGRAMS").map(PathBuf::from) {
        Some(folder) => (folder.join("vestibule"), folder.join("vestibule-edge")),
        None => (vestibule(), vestibule_edge()),
    }
}

/// A configuration as an operator has it, with the policies' components.
fn configure(gateway: &Gateway) -> String {
    let mut tables = String::new();
    for (name, settings) in NINE {
        gateway.write(&format!("settings/{name}.toml"), settings);
        tables.push_str(&format!(
            "[policies.{name}]\ncomponent = \"policies/{name}.wasm\"\nsettings = \"settings/{name}.toml\"\n\n"
        ));
    }
    gateway.write("accounts.toml", "");
    let chain: Vec<&str> = NINE.iter().map(|(name, _)| *name).filter(|name| *name != "emergency-access").collect();
    format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\npublic-url = \"http://127.0.0.1:{port}\"\n\
         trusted-proxies = [\"127.0.0.1\"]\n\n[log]\nfilter = \"warn\"\n\n[keys]\ndirectory = \"keys\"\n\n\
         [audit]\nfile = \"audit.jsonl\"\n\n[policies]\n\n{tables}\
         [accounts]\nfile = \"accounts.toml\"\n\n[upstreams.local]\nkind = \"local\"\n\n\
         [applications.app]\nurl = \"http://127.0.0.1:1/\"\nupstreams = [\"local\"]\nchain = {chain:?}\n\n\
         [applications.app.forward-auth]\n",
        port = gateway.port
    )
}

/// Packs the policies, and says how a node is configured that runs them.
fn pack(gateway: &Gateway, whole: &Path, components: &str) -> String {
    gateway.write("packer.toml", components);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(whole);
        let done = command.args(arguments).current_dir(gateway.path("")).stdout(Stdio::null()).status();
        assert!(done.expect("a program").success(), "{arguments:?}");
    };
    run(&["policy", "keygen", "packer", "--no-password"]);
    let pack = ["generation", "pack", "--config", "packer.toml", "--out", "generation.pack"];
    run(&[&pack[..], &["--key", "packer.key", "--no-password"]].concat());
    let (before, rest) = components.split_once("[policies]\n").expect("policies");
    let (_, after) = rest.split_once("[accounts]\n").expect("accounts");
    format!(
        "{before}[policies]\nversions-file = \"versions.json\"\n[policies.pack]\nfile = \"generation.pack\"\n\
         trusted-keys = {{ packer = {{ file = \"packer.pub\" }} }}\n\n[accounts]\n{after}"
    )
}

/// Milliseconds until it answers, and MiB that are resident a moment later.
fn start(gateway: &Gateway, program: &Path) -> (f64, f64) {
    let mut command = Command::new(program);
    command.args(["serve", "--json", "--config"]).arg(gateway.path("vestibule.toml"));
    let began = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a program");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let took = began.elapsed();
    assert!(line.contains("\"ready\":true"), "{}: {line}", program.display());
    settle();
    let resident = resident(child.id());
    child.kill().and_then(|()| child.wait()).expect("an end");
    (took.as_secs_f64() * 1e3, resident)
}

#[expect(clippy::disallowed_methods, reason = "another program's memory has no event to wait for")]
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(500));
}

/// The program's size without symbols, in MiB.
fn stripped(program: &Path, gateway: &Gateway) -> f64 {
    let copy = gateway.path("stripped");
    let done = Command::new("strip").arg("-o").arg(&copy).arg(program).status().expect("strip (binutils)");
    assert!(done.success(), "strip {}", program.display());
    mebibytes(fs::metadata(&copy).expect("a copy").len())
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
