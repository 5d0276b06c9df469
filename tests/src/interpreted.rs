//! A component of an interpreter that holds several policies: each gets a manifest of its own, and
//! the code is compiled once for all.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule::{
    config::{InterpreterLimits, Limits},
    policy::{Cache, Component, Engine, LoadError},
    secret::Secret,
};
use wasmparser::{Parser, Payload};

use crate::{guests, process::root};

/// The code of such a component, and what it runs in.
#[derive(Debug)]
pub struct Interpreted {
    code: Vec<u8>,
    /// With the default limits, but for the clock: the machine may be busy with other tests.
    pub engine: Engine,
    // Native code is the same for each manifest, and compiled once.
    folder: TempDir,
}

impl Interpreted {
    /// Of what `vestibule policy build` made.
    #[must_use]
    pub fn new(component: &[u8]) -> Self {
        let folder = TempDir::new().expect("a folder");
        Self { code: code(component).to_owned(), engine: engine(|_| {}, &folder), folder }
    }

    /// Another engine with other limits, and the same cache.
    pub fn engine_with(&self, change: impl FnOnce(&mut InterpreterLimits)) -> Engine {
        engine(change, &self.folder)
    }

    /// The component as the policy `rule` with this manifest, and with the setting `rule`, which chooses it.
    ///
    /// # Errors
    ///
    /// Where the gateway does not take it.
    pub fn choosing(&self, rule: &str, manifest: Value) -> Result<Component, LoadError> {
        Component::check(&self.engine, &with_choice(self.code.clone(), rule, manifest))
    }
}

/// The ready-made policy `rule` in `language` (`js` or `python`), under its own manifest.
///
/// # Panics
///
/// Where `make interpreters` has not been run.
#[must_use]
pub fn ready_made(language: &str, rule: &str) -> Vec<u8> {
    let file = match language {
        "js" => "guest/js/policies/ready-made/target/components/ready-made-js.wasm",
        _ => "guest/python/policies/ready_made/target/components/ready-made-python.wasm",
    };
    let bytes = fs::read(root().join(file)).unwrap_or_else(|error| {
        panic!("{file}: {error}; `make interpreters` builds it (`scripts/setup test` installs what it needs)")
    });
    with_choice(code(&bytes).to_owned(), rule, manifest(rule))
}

/// The manifest of the ready-made policy `rule`, for an interpreter.
#[must_use]
pub fn manifest(rule: &str) -> Value {
    let folder = root().join("policies").join(rule);
    let read = |file: &str| fs::read_to_string(folder.join(file)).expect(file);
    let manifest: toml::Table = toml::from_str(&read("policy.toml")).expect("a manifest");
    let mut manifest = serde_json::to_value(manifest).expect("JSON");
    manifest["settings-schema"] = serde_json::from_str(&read("settings.schema.json")).expect("a schema");
    // A budget that is made for native code is none for an interpreter.
    manifest.as_object_mut().expect("a table").remove("fuel");
    manifest
}

fn with_choice(code: Vec<u8>, rule: &str, mut manifest: Value) -> Vec<u8> {
    manifest["settings-schema"]["properties"]["rule"] = json!({ "type": "string" });
    manifest["settings-default"]["rule"] = json!(rule);
    guests::with_manifest(code, &manifest)
}

fn engine(change: impl FnOnce(&mut InterpreterLimits), folder: &TempDir) -> Engine {
    let mut interpreter = InterpreterLimits {
        deadline: Duration::from_secs(60),
        compile_timeout: Duration::from_secs(900),
        decisions_max: 4,
        ..InterpreterLimits::default()
    };
    change(&mut interpreter);
    let limits = Limits { decisions_max: 4, interpreter, ..Limits::default() };
    let cache = Cache::open(&folder.path().join("native"), &Secret::new(vec![1; 32])).expect("a cache");
    Engine::new(&limits, Some(cache)).expect("a sandbox")
}

/// `bytes` without what `vestibule policy build` appended: the gateway's own sections.
fn code(bytes: &[u8]) -> &[u8] {
    let (mut depth, mut end) = (0_usize, 0);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.expect("a component");
        let section = match &payload {
            Payload::CustomSection(section) if section.name().starts_with("vestibule:") => None,
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                Some(unchecked_range.clone())
            }
            payload => payload.as_section().map(|(_, range)| range),
        };
        if let Some(range) = section.filter(|_| depth == 0) {
            end = range.end;
        }
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    &bytes[..end]
}
