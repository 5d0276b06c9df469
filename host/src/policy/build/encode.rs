//! A core module, a manifest and cases as one component. The same input gives the same
//! bytes.

use wasm_encoder::{ComponentSection as _, CustomSection};
use wit_component::ComponentEncoder;

use crate::policy::{CASES_SECTION, Cases, MANIFEST_SECTION, Manifest};

/// Encodes `module`, which carries its world in the custom section that wit-bindgen left.
pub(in crate::policy) fn component(module: &[u8], manifest: &Manifest, cases: &Cases) -> Result<Vec<u8>, String> {
    let encode = || ComponentEncoder::default().module(module)?.validate(true).encode();
    let component = encode().map_err(|error| {
        let error = format!("{error:#}");
        // A module for WASI asks for it by a name that no component has.
        if error.contains("wasi") { format!("{error}. {}", crate::policy::error::NO_WASI) } else { error }
    })?;
    Ok(embed(component, manifest, cases))
}

/// `component` with manifest and cases.
pub(super) fn embed(mut component: Vec<u8>, manifest: &Manifest, cases: &Cases) -> Vec<u8> {
    append(&mut component, MANIFEST_SECTION, &manifest.to_json());
    if !cases.is_empty() {
        append(&mut component, CASES_SECTION, &cases.to_json());
    }
    component
}

/// Adds a custom section to a component.
pub(super) fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    CustomSection { name: name.into(), data: data.into() }.append_to_component(component);
}
