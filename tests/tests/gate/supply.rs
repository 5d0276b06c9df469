//! A component's way from who wrote it to who runs it: signed with minisign, by way of a registry
//! (Debian's docker-registry), into force, and not back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use vestibule_tests::{
    gateway::{Gateway, run_in},
    guests, interpreted,
    process::{Process, free_port, installed, root},
};

const COMPONENT: &str = "well-behaved.wasm";

fn version(version: &str) -> Vec<u8> {
    guests::component_with("well-behaved", |manifest| manifest["version"] = version.into())
}

/// Runs a command of the program in `folder`, which must succeed.
fn done(folder: &Path, arguments: &[&str]) -> Value {
    let (code, output, errors) = run_in(folder, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{arguments:?}: {output}{errors}");
    serde_json::from_str(&output).expect("JSON")
}

/// Runs a command of the program in `folder`, which must fail, and says why.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let (code, output, errors) = run_in(folder, &[arguments, &["--json"]].concat());
    assert_eq!(code, 1, "{arguments:?}: {output}{errors}");
    let said: Value = serde_json::from_str(&output).expect("JSON");
    assert_eq!(said["ok"], false);
    said["error"].as_str().expect("a reason").to_owned()
}

/// A program of Debian's, which must succeed.
fn program(name: &str, folder: &Path, arguments: &[&str]) -> String {
    let run = Command::new(name).args(arguments).current_dir(folder).output();
    let run = run.unwrap_or_else(|error| panic!("failed to start {name}: {error} (run `make setup-test`)"));
    assert!(run.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("text")
}

#[test]
fn signatures_are_those_of_minisign_in_both_directions() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join(COMPONENT), version("0.1.0")).expect("a file");
    fs::write(folder.join("password"), "correct horse\n").expect("a file");
    let statement = &format!("{COMPONENT}.statement");
    let signatures = folder.join(format!("{statement}.minisig"));

    // Ours, verified by minisign.
    done(folder, &["policy", "keygen", "ann", "--password-file", "password"]);
    done(folder, &["policy", "sign", COMPONENT, "--key", "ann.key", "--password-file", "password"]);
    let said = program("minisign", folder, &["-Vm", statement, "-p", "ann.pub"]);
    assert!(said.contains("Signature and comment signature verified"), "{said}");

    // minisign's, verified by us, beside the first.
    program("minisign", folder, &["-G", "-W", "-p", "bob.pub", "-s", "bob.key"]);
    program("minisign", folder, &["-S", "-s", "bob.key", "-m", statement, "-x", "bob.minisig"]);
    let ours = fs::read(&signatures).expect("a file");
    let both = [ours, fs::read(folder.join("bob.minisig")).expect("a file")].concat();
    fs::write(&signatures, &both).expect("a file");
    let verify = ["policy", "verify", COMPONENT, "--key", "ann.pub", "--key", "bob.pub", "--required", "2"];
    assert_eq!(done(folder, &verify)["signers"], serde_json::json!(["ann", "bob"]));

    // A key of minisign's signs with our command; a key that nobody trusts counts for nothing.
    program("minisign", folder, &["-G", "-W", "-p", "eve.pub", "-s", "eve.key"]);
    done(folder, &["policy", "sign", COMPONENT, "--key", "eve.key", "--no-password"]);
    assert_eq!(done(folder, &verify)["signers"], serde_json::json!(["ann", "bob"]));
    let verify = ["policy", "verify", COMPONENT, "--key", "ann.pub", "--key", "eve.pub", "--required", "3"];
    assert!(refused(folder, &verify).contains("2 of the 3 signatures"));

    // The wrong password, and another component.
    fs::write(folder.join("wrong"), "battery staple\n").expect("a file");
    refused(folder, &["policy", "sign", COMPONENT, "--key", "ann.key", "--password-file", "wrong"]);
    fs::write(folder.join(COMPONENT), version("0.2.0")).expect("a file");
    let why = refused(folder, &["policy", "verify", COMPONENT, "--key", "ann.pub"]);
    assert!(why.contains("the statement is about another component"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_or_older_stays_out_of_a_running_gateway() {
    let mut gateway = Gateway::new();
    let file = gateway.path("policies").join(COMPONENT);
    let folder = file.parent().expect("a folder").to_owned();
    let put = |bytes: &[u8], sign: bool| {
        // As a deployment would: what vouches first, the component last.
        let beside = folder.join("beside.wasm");
        fs::write(&beside, bytes).expect("a file");
        if sign {
            done(&folder, &["policy", "sign", "beside.wasm", "--key", "ann.key", "--no-password"]);
            for end in ["statement", "statement.minisig"] {
                fs::rename(folder.join(format!("beside.wasm.{end}")), folder.join(format!("{COMPONENT}.{end}")))
                    .expect("a file");
            }
        }
        fs::rename(&beside, &file).expect("a file");
    };
    done(&folder, &["policy", "keygen", "ann", "--no-password"]);
    put(&version("0.1.0"), true);
    gateway.configure(
        "[policies.trusted-keys]\nann = { file = \"policies/ann.pub\" }\n\
         [policies.well-behaved]\ncomponent = \"policies/well-behaved.wasm\"\n\
         [upstreams.main]\npreset = \"keycloak\"\nbase-url = \"https://id.example.com\"\nrealm = \"r\"\n\
         client-id = \"c\"\nclient-secret = \"s\"\n\
         [applications.wiki]\nupstreams = [\"main\"]\nchain = [\"well-behaved\"]\nurl = \"https://wiki.example.com/\"\n\
         [applications.wiki.forward-auth]\n",
    );
    let text = fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
    let more = "poll-ms = 200\nsignatures-required = 1\nversions-file = \"versions.json\"\n";
    gateway.write("vestibule.toml", &text.replace("poll-ms = 200\n", more));
    gateway.start();
    let swapped = |number: u64| {
        move |event: &Value| event["kind"] == "generation.swapped" && event["outcome"]["generation"] == number
    };
    let refusal = |says: &'static str, number: u64| {
        move |event: &Value| {
            event["kind"] == "generation.refused"
                && event["outcome"]["generation"] == number
                && event["outcome"]["problems"].to_string().contains(says)
        }
    };
    let first = gateway.wait_for("that the signed policy is in force", swapped(1)).await;
    assert_eq!(first["outcome"]["signers"]["well-behaved"], serde_json::json!(["ann"]), "{first}");

    put(&version("0.2.0"), false);
    gateway.wait_for("that the policy is not signed", refusal("about another component", 1)).await;
    put(&version("0.2.0"), true);
    gateway.wait_for("that the new version is in force", swapped(2)).await;

    put(&version("0.1.0"), true);
    gateway.wait_for("that the version is lower", refusal("version 0.1.0 is lower than 0.2.0", 2)).await;
    // After a restart it is still lower, and nothing is in force instead.
    gateway.stop();
    gateway.start();
    gateway
        .wait_for("that the application is unavailable", |event| {
            event["kind"] == "generation.swapped"
                && event["outcome"]["unavailable"]["wiki"].to_string().contains("lower than 0.2.0")
        })
        .await;
    let folder = gateway.path("");
    let verify =
        ["policy", "verify", "policies/well-behaved.wasm", "--config", "vestibule.toml", "--name", "well-behaved"];
    assert_eq!(done(&folder, &verify)["signers"], serde_json::json!(["ann"]));
    let why = refused(&folder, &["policy", "allow-downgrade", "well-behaved", "--to", "0.3.0"]);
    assert!(why.contains("is not lower than 0.2.0"), "{why}");
    let allowed = done(&folder, &["policy", "allow-downgrade", "well-behaved", "--to", "0.1.0"]);
    assert_eq!(allowed["highest"], "0.2.0");
    gateway
        .wait_for("that the lower version is in force", |event| {
            swapped(2)(event) && event["outcome"]["policies"][0]["version"] == "0.1.0"
        })
        .await;
}

/// PyPI's `oras`, which must succeed; what it printed.
fn oras(folder: &Path, arguments: &[&str]) -> Value {
    let script = root().join("tests/peers/oras.py");
    let script = script.to_str().expect("a path");
    let python = installed("python3");
    let printed = program(python.to_str().expect("a path"), folder, &[&[script], arguments].concat());
    serde_json::from_str(printed.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {printed}"))
}

#[test]
fn oras_pulls_what_we_pushed_and_we_what_oras_did() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let registry = Registry::start(folder);
    let component = version("0.1.0");
    fs::write(folder.join(COMPONENT), &component).expect("a file");
    let ours = format!("{}/ours/well-behaved:0.1.0", registry.host);
    done(folder, &["policy", "keygen", "ann", "--no-password"]);
    done(folder, &["policy", "sign", COMPONENT, "--key", "ann.key", "--no-password"]);
    let pushed = done(folder, &["policy", "push", COMPONENT, &ours]);
    let pulled = oras(folder, &["pull", &ours, "pulled"]);
    let files: Vec<&str> = pulled.as_array().expect("files").iter().filter_map(Value::as_str).collect();
    assert_eq!(files.len(), 1, "one layer: {pulled}");
    assert_eq!(fs::read(files[0]).expect("a file"), component);

    let theirs = format!("{}/theirs/well-behaved:v1", registry.host);
    let manifest = oras(folder, &["push", &theirs, COMPONENT]);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm", "{manifest}");
    let back = done(folder, &["policy", "pull", &theirs, "--out", "back.wasm"]);
    assert_eq!((&back["component"], &back["signed"]), (&pushed["component"], &false.into()));
    assert_eq!(fs::read(folder.join("back.wasm")).expect("a file"), component);
    // The same bytes, so what vouches for the one vouches for the other.
    for end in ["statement", "statement.minisig"] {
        fs::copy(folder.join(format!("{COMPONENT}.{end}")), folder.join(format!("back.wasm.{end}"))).expect("a copy");
    }
    assert_eq!(
        done(folder, &["policy", "verify", "back.wasm", "--key", "ann.pub"])["signers"],
        serde_json::json!(["ann"])
    );
}

#[test]
fn an_interpreter_goes_through_a_registry_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let registry = Registry::start(folder);
    let component = interpreted::ready_made("python", "default-groups");
    assert!(component.len() > 16 << 20, "larger than a policy in Rust may be");
    fs::write(folder.join("groups.wasm"), &component).expect("a file");
    let place = format!("{}/policies/groups:0.1.0", registry.host);
    done(folder, &["policy", "push", "groups.wasm", &place]);
    done(folder, &["policy", "pull", &place, "--out", "back.wasm"]);
    assert!(fs::read(folder.join("back.wasm")).expect("a file") == component);
}

/// Debian's docker-registry, with its blobs in a folder.
struct Registry {
    _process: Process,
    host: String,
    blobs: PathBuf,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        let port = free_port();
        let root = folder.join("registry");
        let configuration = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            root.display()
        );
        fs::write(folder.join("registry.yml"), configuration).expect("a file");
        let mut process = Process::start(
            "docker-registry",
            Command::new("docker-registry")
                .arg("serve")
                .arg(folder.join("registry.yml"))
                .stdout(std::process::Stdio::null())
                .stderr(fs::File::create(folder.join("registry.log")).expect("a file")),
        );
        process.wait_for_port(port);
        let blobs = root.join("docker/registry/v2/blobs/sha256");
        Self { _process: process, host: format!("127.0.0.1:{port}"), blobs }
    }

    /// Where the registry keeps what has this digest.
    fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.blobs.join(&hex[..2]).join(hex).join("data")
    }
}

#[test]
fn a_component_goes_through_a_registry_and_comes_back_with_its_signatures() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let registry = Registry::start(folder);
    let component = version("0.1.0");
    fs::write(folder.join(COMPONENT), &component).expect("a file");
    let place = format!("{}/policies/well-behaved", registry.host);
    for name in ["ann", "bob"] {
        done(folder, &["policy", "keygen", name, "--no-password"]);
    }

    // Unsigned, then signed by one, then by two who do not know of each other: the digest stays, since what
    // vouches for a component is no part of it.
    let unsigned = done(folder, &["policy", "push", COMPONENT, &place]);
    assert_eq!(done(folder, &["policy", "pull", &format!("{place}:0.1.0"), "--out", "plain.wasm"])["signed"], false);
    let statement = folder.join(format!("{COMPONENT}.statement"));
    for name in ["ann", "bob"] {
        let _ = fs::remove_file(&statement);
        done(folder, &["policy", "sign", COMPONENT, "--key", &format!("{name}.key"), "--no-password"]);
        let pushed = done(folder, &["policy", "push", COMPONENT, &place]);
        assert_eq!(pushed["digest"], unsigned["digest"]);
    }
    let digest = unsigned["digest"].as_str().expect("a digest");
    let pinned = format!("{place}@{digest}");
    let pulled = done(folder, &["policy", "pull", &pinned, "--out", "back.wasm"]);
    assert_eq!(pulled["digest"], digest);
    assert_eq!(fs::read(folder.join("back.wasm")).expect("a file"), component);
    let verify = ["policy", "verify", "back.wasm", "--key", "ann.pub", "--key", "bob.pub", "--required", "2"];
    assert_eq!(done(folder, &verify)["signers"], serde_json::json!(["ann", "bob"]));

    // Read by a client that is not ours: the layout of wkg, and the same bytes.
    let source = format!("docker://{place}:0.1.0");
    let manifest = program("skopeo", folder, &["inspect", "--raw", "--tls-verify=false", &source]);
    let hex: String = Sha256::digest(manifest.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(format!("sha256:{hex}"), digest);
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"].as_array().expect("layers").len(), 1, "wkg takes one layer and no more");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    program("skopeo", folder, &["copy", "--src-tls-verify=false", &source, "dir:copied"]);
    let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
    let copied = folder.join("copied");
    assert_eq!(fs::read(copied.join(layer.trim_start_matches("sha256:"))).expect("a file"), component);
    let config = manifest["config"]["digest"].as_str().expect("a digest").trim_start_matches("sha256:");
    let config: Value = serde_json::from_slice(&fs::read(copied.join(config)).expect("a file")).expect("JSON");
    assert_eq!(config["layerDigests"], serde_json::json!([layer]));
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));

    // And pushed by that client: we pull what it copied.
    let elsewhere = format!("{}/copied/well-behaved:v1", registry.host);
    program("skopeo", folder, &["copy", "--dest-tls-verify=false", "dir:copied", &format!("docker://{elsewhere}")]);
    let pulled = done(folder, &["policy", "pull", &elsewhere, "--out", "again.wasm"]);
    assert_eq!((&pulled["digest"], &pulled["signed"]), (&unsigned["digest"], &false.into()));

    // A registry that was broken into: another component under the same digest, another tag's manifest.
    let evil = version("6.6.6");
    fs::write(registry.blob(layer), &evil).expect("a file");
    let why = refused(folder, &["policy", "pull", &pinned, "--out", "evil.wasm"]);
    assert!(why.contains("is not what was asked for") || why.contains("has more than"), "{why}");
    assert!(!folder.join("evil.wasm").exists());
    let missing = format!("{place}@sha256:{}", "0".repeat(64));
    assert!(refused(folder, &["policy", "pull", &missing]).contains("is not there"));
}
