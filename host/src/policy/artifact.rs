//! A component's bytes, checked: what it is, what it asks for, what it says of itself.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use wasmparser::{Encoding, Parser, Payload, Validator, component_types::ComponentEntityType, types::Types};

use super::{
    cache::{CacheKey, sha256},
    engine::Engine,
    error::LoadError,
    manifest::{Manifest, SECTION},
};
use crate::decision::Hook;

/// The contract's package.
const PACKAGE: &str = "vestibule:policy/";

/// The contract's version. Within one minor version components and gateways fit.
const VERSION: &str = "0.1.0";

/// The contract as statements about components name it.
pub(super) const CONTRACT: &str = "vestibule:policy@0.1.0";

/// The custom section with a component's cases: a JSON object, file name to TOML text.
pub const CASES_SECTION: &str = "vestibule:cases";

/// The custom section with a component's properties: the text of `properties.toml`.
pub const PROPERTIES_SECTION: &str = "vestibule:properties";

/// What the gateway's own sections in a component are called: they say something of its code,
/// and are none of it.
const OWN_SECTIONS: [&str; 3] = [SECTION, CASES_SECTION, PROPERTIES_SECTION];

/// The interfaces that a policy may import, each with its functions: the trace, and types,
/// which are nothing but names.
const IMPORTS: [(&str, &[&str]); 2] = [("log", &["write"]), ("types", &[])];

/// How a component is asked, and so which tier of the engine runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A function for each hook, with the contract's records.
    Records,
    /// One function for all of them, with JSON: an interpreter.
    Json,
}

/// Bytes that are a policy: a component of bounded size that asks for nothing that it does
/// not get, with a manifest that is true. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Component(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    bytes: Vec<u8>,
    digest: String,
    form: Form,
    manifest: Manifest,
    imports: Vec<String>,
    exports: Vec<String>,
    compiled: OnceLock<wasmtime::component::Component>,
}

impl Component {
    /// Checks `bytes`. Compiles nothing.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in the order: size, form, imports, exports, manifest.
    pub fn check(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        check_size(bytes, engine.component_bytes_max(), "component-bytes-max")?;
        check_form(bytes)?;
        let Outline { imports, exports, manifests } = outline(bytes)?;
        check_imports(&imports)?;
        let (form, hooks) = check_exports(&exports)?;
        let key = match form {
            Form::Records => "component-bytes-max",
            Form::Json => "interpreter.component-bytes-max",
        };
        check_size(bytes, engine.limits_of(form).component_bytes_max, key)?;
        // What it asks for is told before what is wrong inside: an author who built for
        // WASI has one thing to change, not two.
        let types =
            Validator::new_with_features(engine.features()).validate_all(bytes).map_err(|error| malformed(&error))?;
        check_functions(&types, &imports)?;
        let manifest = match manifests.as_slice() {
            [] => return Err(LoadError::NoManifest),
            [manifest] => Manifest::from_json(manifest)?,
            more => return Err(LoadError::ManyManifests(more.len())),
        };
        // In the JSON form it is the running component that says which hooks it has.
        if form == Form::Records && manifest.hooks != hooks {
            let names = |hooks: &BTreeSet<Hook>| hooks.iter().map(|hook| hook.name().to_owned()).collect();
            return Err(LoadError::LyingManifest { manifest: names(&manifest.hooks), exports: names(&hooks) });
        }
        Ok(Self(Arc::new(Checked {
            bytes: bytes.to_owned(),
            digest: sha256(bytes),
            form,
            manifest,
            imports,
            exports,
            compiled: OnceLock::new(),
        })))
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// sha-256 of the bytes, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// How it is asked.
    #[must_use]
    pub fn form(&self) -> Form {
        self.0.form
    }

    /// The native code that depends on the component alone, made by `make` on first use: what
    /// tells its own state, so that each further settings cost one compilation, not two; an
    /// interpreter's all code.
    pub(crate) fn compiled(
        &self,
        make: impl FnOnce() -> Result<wasmtime::component::Component, LoadError>,
    ) -> Result<wasmtime::component::Component, LoadError> {
        if let Some(made) = self.0.compiled.get() {
            return Ok(made.clone());
        }
        let made = make()?;
        Ok(self.0.compiled.get_or_init(|| made).clone())
    }

    /// The key of native code that depends on nothing but the component's own code: another
    /// manifest and other cases make no other code.
    pub(crate) fn code_key(&self, kind: &[u8], compatibility: &[u8]) -> CacheKey {
        let mut parts = vec![kind, compatibility];
        let mut kinds = Vec::new();
        let mut depth = 0_usize;
        // It was validated: there is no error to come.
        for payload in Parser::new(0).parse_all(&self.0.bytes).map_while(Result::ok) {
            let section = match &payload {
                Payload::CustomSection(section) if OWN_SECTIONS.contains(&section.name()) => None,
                Payload::ModuleSection { unchecked_range, .. } => Some((1, unchecked_range.clone())),
                Payload::ComponentSection { unchecked_range, .. } => Some((4, unchecked_range.clone())),
                payload => payload.as_section(),
            };
            if let Some((kind, range)) = section.filter(|_| depth == 0) {
                kinds.push(kind);
                parts.extend(self.0.bytes.get(range));
            }
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        parts.push(&kinds);
        CacheKey::of(&parts)
    }

    /// What it imports, as named by the component.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// What it exports, as named by the component.
    #[must_use]
    pub fn exports(&self) -> &[String] {
        &self.0.exports
    }
}

/// What a component shows on its outside.
struct Outline<'a> {
    imports: Vec<String>,
    exports: Vec<String>,
    manifests: Vec<&'a [u8]>,
}

fn check_form(bytes: &[u8]) -> Result<(), LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm { found: looks_like(bytes) });
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => Ok(()),
        Some(Ok(_)) => Err(LoadError::CoreModule),
        Some(Err(error)) => Err(malformed(&error)),
        None => Err(LoadError::NotWasm { found: looks_like(bytes) }),
    }
}

/// What the bytes are, for those that somebody took for a component.
pub(super) fn looks_like(bytes: &[u8]) -> &'static str {
    let is = |magic: &[u8]| bytes.starts_with(magic);
    match bytes {
        [] => "an empty file",
        _ if is(b"\xff\xd8\xff") => "a JPEG image",
        _ if is(b"\x89PNG") => "a PNG image",
        _ if is(b"GIF8") => "a GIF image",
        _ if is(b"%PDF") => "a PDF document",
        _ if is(b"PK\x03\x04") => "a ZIP archive",
        _ if is(b"\x1f\x8b") => "gzip data: unpack it first",
        _ if is(b"\x28\xb5\x2f\xfd") => "zstd data: unpack it first",
        _ if is(b"\x7fELF") => "a native program",
        _ if is(b"version https://git-lfs") => "a Git LFS pointer: the file itself was not fetched",
        _ if is(b"(component") || is(b"(module") => "WebAssembly in text form: `wasm-tools parse` makes it binary",
        _ if is(b"<") => "HTML or XML: perhaps an error page that was saved in place of the file",
        _ if std::str::from_utf8(bytes.get(..bytes.len().min(256)).unwrap_or_default()).is_ok() => "text",
        _ => "other data",
    }
}

fn outline(bytes: &[u8]) -> Result<Outline<'_>, LoadError> {
    let mut outline = Outline { imports: Vec::new(), exports: Vec::new(), manifests: Vec::new() };
    // Sections of the modules and components inside count for nothing.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| malformed(&error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outline.imports.push(import.map_err(|error| malformed(&error))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outline.exports.push(export.map_err(|error| malformed(&error))?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                outline.manifests.push(section.data());
            }
            _ => {}
        }
    }
    Ok(outline)
}

fn check_imports(imports: &[String]) -> Result<(), LoadError> {
    let refused: Vec<String> = imports.iter().filter(|name| granted(name).is_none()).cloned().collect();
    if !refused.is_empty() {
        return Err(LoadError::Imports { imports: refused });
    }
    check_versions(imports)
}

/// An interface of the right name may still ask for more than the contract's has.
fn check_functions(types: &Types, imports: &[String]) -> Result<(), LoadError> {
    let mut refused = Vec::new();
    for name in imports {
        let granted = granted(name).unwrap_or_default();
        match types.as_ref().component_item_for_import(name).map(|item| item.ty) {
            Some(ComponentEntityType::Instance(instance)) => {
                let Some(instance) = types.as_ref().get(instance) else { continue };
                for (function, item) in &instance.exports {
                    let is_type = matches!(item.ty, ComponentEntityType::Type { .. });
                    if !is_type && !granted.contains(&function.as_str()) {
                        refused.push(format!("{name}#{function}"));
                    }
                }
            }
            _ => refused.push(name.clone()),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(LoadError::Imports { imports: refused }) }
}

/// The functions that a policy may import from the interface `name`, if it may import it.
fn granted(name: &str) -> Option<&'static [&'static str]> {
    let name = interface(name)?;
    IMPORTS.iter().find(|(interface, _)| *interface == name).map(|(_, functions)| *functions)
}

fn check_size(bytes: &[u8], max: usize, key: &'static str) -> Result<(), LoadError> {
    if bytes.len() > max { Err(LoadError::TooLarge { bytes: bytes.len(), max, key }) } else { Ok(()) }
}

fn check_exports(exports: &[String]) -> Result<(Form, BTreeSet<Hook>), LoadError> {
    let hook = |name: &str| Hook::ALL.into_iter().find(|hook| hook.name() == name);
    let is_known = |name: &String| {
        interface(name).is_some_and(|name| ["settings", "json"].contains(&name) || hook(name).is_some())
    };
    let unknown: Vec<String> = exports.iter().filter(|name| !is_known(name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(LoadError::UnknownExports { exports: unknown });
    }
    check_versions(exports)?;
    if !exports.iter().any(|name| interface(name) == Some("settings")) {
        return Err(LoadError::NoSettingsExport);
    }
    let hooks: BTreeSet<Hook> = exports.iter().filter_map(|name| interface(name).and_then(hook)).collect();
    let is_json = exports.iter().any(|name| interface(name) == Some("json"));
    match (is_json, hooks.is_empty()) {
        (true, true) => Ok((Form::Json, hooks)),
        (true, false) => Err(LoadError::TwoForms),
        (false, true) => Err(LoadError::NoHook),
        (false, false) => Ok((Form::Records, hooks)),
    }
}

/// The contract's interface that `name` stands for, without its version.
fn interface(name: &str) -> Option<&str> {
    let (interface, _) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some(interface)
}

fn check_versions(names: &[String]) -> Result<(), LoadError> {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    for name in names {
        let found = name.split_once('@').map_or("", |(_, version)| version);
        if minor(found).is_none() || minor(found) != minor(VERSION) {
            return Err(LoadError::WitVersion { found: found.to_owned(), expected: VERSION });
        }
    }
    Ok(())
}

fn malformed(error: &wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Malformed { offset: error.offset() as u64, message: error.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_named_after_package_and_version() {
        assert_eq!(CONTRACT, format!("{}@{VERSION}", PACKAGE.trim_end_matches('/')));
    }
}
