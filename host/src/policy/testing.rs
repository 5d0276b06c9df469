//! Guests for tests, written in WebAssembly's text form: small enough to read, and free to
//! break what no SDK would let them break.

use serde_json::{Value, json};
use wasm_encoder::ComponentSection as _;
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use super::{Component, Engine, LoadError, LoadedPolicy, manifest::SECTION};
use crate::{
    config::Limits,
    decision::{Context, Hook},
    identity::{Identity, Protocol},
};

/// Where a guest's constant answers are.
pub(crate) const ANSWER: u32 = 1024;

/// Where a guest's texts are.
pub(crate) const TEXT: u32 = 4096;

/// A guest in the making. It does nothing but what it is told.
#[derive(Clone)]
pub(crate) struct Guest {
    hooks: Vec<(Hook, String)>,
    configure: String,
    extra: String,
    data: Vec<(u32, Vec<u8>)>,
    pages: u32,
    manifest: Value,
}

impl Guest {
    /// A guest with one hook, whose body leaves the address of its answer. The hook's
    /// arguments are in memory at `local 0`.
    pub(crate) fn new(hook: Hook, body: &str) -> Self {
        Self {
            hooks: vec![(hook, body.to_owned())],
            configure: format!("(i32.const {})", 512),
            extra: String::new(),
            data: Vec::new(),
            pages: 2,
            manifest: json!({ "name": "test", "version": "0.1.0", "settings-schema": {} }),
        }
    }

    /// A guest that answers `hook` with these bytes, the tag of `result` left out.
    pub(crate) fn answering(hook: Hook, answer: &[u8]) -> Self {
        let answer = [&[0, 0, 0, 0], answer].concat();
        Self::new(hook, &format!("(i32.const {ANSWER})")).data(ANSWER, &answer)
    }

    pub(crate) fn hook(mut self, hook: Hook, body: &str) -> Self {
        self.hooks.push((hook, body.to_owned()));
        self
    }

    /// The body of `configure`: the settings are at `local 0`, `local 1` bytes long.
    pub(crate) fn configure(mut self, body: &str) -> Self {
        body.clone_into(&mut self.configure);
        self
    }

    /// Further definitions.
    pub(crate) fn extra(mut self, definitions: &str) -> Self {
        definitions.clone_into(&mut self.extra);
        self
    }

    pub(crate) fn data(mut self, at: u32, bytes: &[u8]) -> Self {
        self.data.push((at, bytes.to_owned()));
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.data(TEXT, text.as_bytes())
    }

    pub(crate) fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    pub(crate) fn manifest(mut self, key: &str, value: Value) -> Self {
        self.manifest[key] = value;
        self
    }

    /// The component, with a manifest that names its hooks unless one was given.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        if manifest.get("hooks").is_none() {
            manifest["hooks"] = self.hooks.iter().map(|(hook, _)| Value::from(hook.name())).collect();
        }
        if self.hooks.iter().any(|(hook, _)| *hook == Hook::Access) && manifest.get("access-paths").is_none() {
            manifest["access-paths"] = json!(["/admin/**"]);
        }
        with_manifest(self.bare(), manifest.to_string().as_bytes())
    }

    /// The component without a manifest.
    pub(crate) fn bare(&self) -> Vec<u8> {
        let mut core = wat::parse_str(self.module()).unwrap();
        let mut resolve = Resolve::default();
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
        let includes: String =
            self.hooks.iter().map(|(hook, _)| format!("include vestibule:policy/{hook}-policy@0.1.0;\n")).collect();
        let package = resolve.push_str("test.wit", &format!("package test:test; world test {{ {includes} }}")).unwrap();
        let world = resolve.select_world(&[package], Some("test")).unwrap();
        wit_component::embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().module(&core).unwrap().validate(true).encode().unwrap()
    }

    fn module(&self) -> String {
        let hooks: String = self
            .hooks
            .iter()
            .map(|(hook, body)| {
                let function = match hook {
                    Hook::Route => "choose",
                    Hook::Admit => "decide",
                    Hook::Profile => "fill",
                    Hook::Groups => "assign",
                    Hook::Provision => "permit",
                    Hook::Session => "limit",
                    Hook::Access => "check",
                    Hook::Logout => "end",
                };
                format!(
                    "(func (export \"vestibule:policy/{hook}@0.1.0#{function}\") (param i32) (result i32) {body})\n"
                )
            })
            .collect();
        let data: String = self
            .data
            .iter()
            .map(|(at, bytes)| {
                let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
                format!("(data (i32.const {at}) \"{bytes}\")\n")
            })
            .collect();
        format!(
            "(module
                (import \"vestibule:policy/log@0.1.0\" \"write\" (func $log (param i32 i32 i32)))
                (memory (export \"memory\") {})
                (global $heap (mut i32) (i32.const 65536))
                (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                    (global.get $heap)
                    (global.set $heap
                        (i32.and (i32.add (i32.add (global.get $heap) (local.get 3)) (i32.const 7)) (i32.const -8))))
                (func (export \"vestibule:policy/settings@0.1.0#configure\") (param i32 i32) (result i32) {})
                {hooks}
                {}
                {data})",
            self.pages, self.configure, self.extra
        )
    }

    pub(crate) fn load(&self, engine: &Engine) -> Result<std::sync::Arc<LoadedPolicy>, LoadError> {
        self.load_with(engine, &json!({}))
    }

    pub(crate) fn load_with(
        &self,
        engine: &Engine,
        settings: &Value,
    ) -> Result<std::sync::Arc<LoadedPolicy>, LoadError> {
        LoadedPolicy::load(engine, "guest", &Component::check(engine, &self.component())?, settings)
    }
}

/// `component` with a manifest.
pub(crate) fn with_manifest(mut component: Vec<u8>, manifest: &[u8]) -> Vec<u8> {
    let section = wasm_encoder::CustomSection { name: SECTION.into(), data: manifest.into() };
    section.append_to_component(&mut component);
    component
}

/// The records of an answer in memory, field by field.
#[derive(Clone, Default)]
pub(crate) struct Bytes(Vec<u8>);

impl Bytes {
    pub(crate) fn word(mut self, word: u32) -> Self {
        self.0.extend(word.to_le_bytes());
        self
    }

    /// A text or list of `len` at `at`.
    pub(crate) fn list(self, at: u32, len: usize) -> Self {
        self.word(at).word(u32::try_from(len).unwrap())
    }

    /// A reason whose code is the text of that length.
    pub(crate) fn reason(self, code: &str) -> Self {
        self.list(TEXT, code.len()).list(0, 0)
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// An engine with these limits.
pub(crate) fn engine(change: impl FnOnce(&mut Limits)) -> Engine {
    let mut limits = Limits { decisions_max: 32, deadline: std::time::Duration::from_secs(20), ..Limits::default() };
    change(&mut limits);
    Engine::new(&limits, None).unwrap()
}

/// A login context.
pub(crate) fn context() -> Context {
    Context {
        login: "login-1".into(),
        at: 1_700_000_000,
        tenant: "acme".into(),
        application: "wiki".into(),
        ..Context::default()
    }
}

/// Somebody.
pub(crate) fn identity() -> Identity {
    Identity {
        upstream: "corp".into(),
        protocol: Protocol::Oidc,
        issuer: "https://idp.example".into(),
        subject: "ann".into(),
        email: None,
        groups: crate::identity::GroupClaim::Absent,
        auth_time: None,
        acr: None,
        amr: Vec::new(),
        claims: std::collections::BTreeMap::new(),
    }
}
