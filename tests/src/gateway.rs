//! A gateway as an operator runs one: the program, a folder with its configuration, a key
//! ring and an audit log.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, free_port, root, vestibule, vestibule_edge};

/// A folder with a gateway's configuration, and the gateway, once it is started.
#[derive(Debug)]
pub struct Gateway {
    folder: TempDir,
    /// Where it listens, and what its `public-url` says.
    pub port: u16,
    program: PathBuf,
    process: Option<Process>,
}

impl Gateway {
    /// A folder with a key ring and the ready-made policies, and a free port.
    ///
    /// # Panics
    ///
    /// Where `make policies` has not been run.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let gateway = Self { folder, port: free_port(), program: vestibule(), process: None };
        let components = root().join("policies/target/components");
        fs::create_dir_all(gateway.path("policies")).expect("a folder");
        fs::create_dir_all(gateway.path("settings")).expect("a folder");
        for entry in fs::read_dir(&components)
            .unwrap_or_else(|error| panic!("{}: {error}: run `make policies`", components.display()))
        {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                fs::copy(&path, gateway.path("policies").join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
        copy_keys(&gateway.path("keys"));
        gateway
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The gateway's own address, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Writes a file of the folder, the way an editor does: whole, and then in place.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let beside = path.with_extension("new");
        fs::write(&beside, text).expect("a file");
        fs::rename(&beside, &path).expect("a file");
    }

    /// Writes the configuration: `rest` follows the sections that every test has.
    pub fn configure(&self, rest: &str) {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\npublic-url = \"http://127.0.0.1:{port}\"\n\
             trusted-proxies = [\"127.0.0.1\"]\n\n\
             [log]\nformat = \"json\"\nfilter = \"info\"\n\n\
             [keys]\ndirectory = \"keys\"\n\n\
             [audit]\nfile = \"audit.jsonl\"\nsync = false\n\n\
             [fetch]\nallow-private-addresses = [\"127.0.0.0/8\"]\n\n\
             [policies]\ncache = \"{cache}\"\npoll-ms = 200\n\n\
             # The tests share two cores with compilers: what ends a decision here is its fuel.\n\
             [policies.limits]\ndeadline-ms = 5000\n\n{rest}\n",
            port = self.port,
            // One cache for all tests: a component is compiled once.
            cache = root().join("target/tests-cache").display(),
        );
        self.write("vestibule.toml", &text);
    }

    /// From now on it is the program without a compiler.
    pub fn be_at_the_edge(&mut self) {
        self.program = vestibule_edge();
    }

    /// Runs one command of the program with `--json` in the folder.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        run_program_in(&self.program, self.folder.path(), arguments)
    }

    /// Starts the gateway and waits until it listens.
    pub fn start(&mut self) {
        let log = fs::File::create(self.path("gateway.log")).expect("a file");
        let errors = log.try_clone().expect("a file");
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(self.path("vestibule.toml")).stdout(log).stderr(errors);
        let mut process = Process::start("vestibule", &mut command);
        process.wait_for_port(self.port);
        self.process = Some(process);
    }

    /// Ends the gateway.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// The program's id.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("gateway.log")).unwrap_or_default()
    }

    /// What it recorded so far.
    #[must_use]
    pub fn audit(&self) -> Vec<Value> {
        fs::read_to_string(self.path("audit.jsonl"))
            .unwrap_or_default()
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// The recorded events of one kind.
    #[must_use]
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.audit().into_iter().filter(|event| event["kind"] == kind).collect()
    }

    /// Waits until the audit has an event for which `wanted` holds.
    ///
    /// # Panics
    ///
    /// Where it does not come.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            if let Some(event) = self.audit().into_iter().find(|event| wanted(event)) {
                return event;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the audit never said {what}; the log:\n{}", self.log());
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self::new()
    }
}

/// One key ring for all tests: the cache of compiled components is bound to it, and so a
/// component is compiled once.
fn copy_keys(to: &Path) {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let ring = MADE.get_or_init(|| {
        let shared = root().join("target/tests-keys");
        // Whoever comes second, in another test program, finds it made.
        let made = Command::new(vestibule())
            .args(["keys", "generate", "--directory"])
            .arg(&shared)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("a program");
        assert!(made.success() || shared.exists(), "no keys");
        shared
    });
    fs::DirBuilder::new().mode(0o700).create(to).expect("a folder");
    for entry in fs::read_dir(ring).expect("a folder") {
        let path = entry.expect("an entry").path();
        // The permissions come along.
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
    }
}

/// Runs one command of the program in `folder`: exit code, output, errors.
///
/// # Panics
///
/// Where it cannot be started.
#[must_use]
pub fn run_in(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    run_program_in(&vestibule(), folder, arguments)
}

fn run_program_in(program: &Path, folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(program).args(arguments).current_dir(folder).output().expect("a program");
    (
        done.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&done.stdout).into_owned(),
        String::from_utf8_lossy(&done.stderr).into_owned(),
    )
}
