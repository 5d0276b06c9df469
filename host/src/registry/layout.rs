//! The documents of the layout: manifests, the configuration of a component, the index of what refers
//! to it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{RegistryError, reference::is_digest, sha256};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const COMPONENT: &str = "application/wasm";

/// What vouches for a component, as the type of a referrer and of its two layers.
pub(super) const VOUCHING: &str = "application/vnd.vestibule.policy.statement.v1";
const STATEMENT: &str = "application/vnd.vestibule.policy.statement.v1+json";
const SIGNATURES: &str = "application/vnd.vestibule.policy.signatures.v1.minisig";

/// The configuration of what needs none (OCI image specification, "guidance for an empty descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
pub(super) const EMPTY: &[u8] = b"{}";

/// Nobody's clock: the same component gives the same manifest, and so the same digest.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Manifests in an index that are looked at.
const REFERRERS_MAX: usize = 64;

/// What is said of a component beside itself.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Its name.
    pub name: String,
    /// Its version, which is its tag where none is named.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports: Vec<String>,
}

impl Labels {
    /// The version as a tag: those have no `+`.
    pub(super) fn tag(&self) -> String {
        self.version.replace('+', "_")
    }
}

/// What vouches for a component: a statement about it, and signatures over that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouching {
    /// The statement.
    pub statement: Vec<u8>,
    /// The signatures, one after the other.
    pub signatures: Vec<u8>,
}

/// What points to bytes (OCI image specification, "descriptor").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
}

impl Descriptor {
    pub(super) fn of(media_type: &str, bytes: &[u8]) -> Self {
        let size = bytes.len() as u64;
        Self { media_type: media_type.to_owned(), digest: sha256(bytes), size, artifact_type: None }
    }
}

/// An image manifest, as far as it matters here.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u32,
    media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    annotations: Value,
}

/// An index of manifests.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    media_type: Option<String>,
    pub(super) manifests: Vec<Descriptor>,
}

/// The configuration of a component (CNCF "Wasm OCI Artifact layout").
pub(super) fn config(component: &[u8], labels: &Labels) -> Vec<u8> {
    let config = json!({
        "created": CREATED,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [sha256(component)],
        "component": { "exports": labels.exports, "imports": labels.imports },
    });
    config.to_string().into_bytes()
}

impl Manifest {
    /// The manifest of a component with that configuration.
    pub(super) fn of_component(component: &[u8], config: &[u8], labels: &Labels) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::of(CONFIG, config),
            layers: vec![Descriptor::of(COMPONENT, component)],
            subject: None,
            annotations: json!({
                "org.opencontainers.image.description": labels.description,
                "org.opencontainers.image.title": labels.name,
                "org.opencontainers.image.version": labels.version,
            }),
        }
    }

    /// The manifest of what vouches for the manifest `subject`.
    pub(super) fn of_vouching(vouching: &Vouching, subject: Descriptor) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            artifact_type: Some(VOUCHING.to_owned()),
            config: Descriptor::of(EMPTY_TYPE, EMPTY),
            layers: vec![
                Descriptor::of(STATEMENT, &vouching.statement),
                Descriptor::of(SIGNATURES, &vouching.signatures),
            ],
            subject: Some(subject),
            annotations: Value::Null,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// How others point to this manifest.
    pub(super) fn descriptor(&self, bytes: &[u8]) -> Descriptor {
        Descriptor { artifact_type: self.artifact_type.clone(), ..Descriptor::of(MANIFEST, bytes) }
    }

    pub(super) fn parse(what: &str, bytes: &[u8]) -> Result<Self, RegistryError> {
        let refuse = |problem: String| RegistryError::Layout { what: what.to_owned(), problem };
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| refuse(format!("its manifest: {error}")))?;
        let found = manifest.media_type.as_deref().unwrap_or_default();
        if manifest.schema_version != 2 || found != MANIFEST {
            return Err(refuse(format!("its manifest is of the type `{found}`, expected `{MANIFEST}`")));
        }
        for descriptor in manifest.layers.iter().chain([&manifest.config]).chain(&manifest.subject) {
            if !is_digest(&descriptor.digest) {
                return Err(refuse(format!("`{}` is no sha256 digest", descriptor.digest)));
            }
        }
        Ok(manifest)
    }

    /// The one layer of a component.
    pub(super) fn component(&self, what: &str) -> Result<&Descriptor, RegistryError> {
        let refuse = |problem: String| Err(RegistryError::Layout { what: what.to_owned(), problem });
        if self.config.media_type != CONFIG {
            return refuse(format!(
                "its configuration is of the type `{}`, expected `{CONFIG}`",
                self.config.media_type
            ));
        }
        match self.layers.as_slice() {
            [layer] if layer.media_type == COMPONENT => Ok(layer),
            [layer] => refuse(format!("its layer is of the type `{}`, expected `{COMPONENT}`", layer.media_type)),
            layers => refuse(format!("it has {} layers, expected one", layers.len())),
        }
    }

    /// Statement and signatures, where the manifest is that of what vouches for `subject`.
    pub(super) fn vouching(&self, subject: &str) -> Option<(&Descriptor, &Descriptor)> {
        let is_about = self.subject.as_ref().is_some_and(|it| it.digest == subject);
        match self.layers.as_slice() {
            [statement, signatures]
                if is_about
                    && self.artifact_type.as_deref() == Some(VOUCHING)
                    && statement.media_type == STATEMENT
                    && signatures.media_type == SIGNATURES =>
            {
                Some((statement, signatures))
            }
            _ => None,
        }
    }
}

impl Index {
    pub(super) fn new() -> Self {
        Self { schema_version: 2, media_type: Some(INDEX.to_owned()), manifests: Vec::new() }
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let index: Self = serde_json::from_slice(bytes).ok()?;
        (index.schema_version == 2).then_some(index)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Those that say of themselves that they vouch for a component.
    pub(super) fn vouching(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests
            .iter()
            .filter(|it| it.artifact_type.as_deref() == Some(VOUCHING) && is_digest(&it.digest))
            .take(REFERRERS_MAX)
    }
}

/// The configuration must be about the component that it comes with.
pub(super) fn check_config(what: &str, config: &[u8], layer: &Descriptor) -> Result<(), RegistryError> {
    let refuse = |problem: &str| Err(RegistryError::Layout { what: what.to_owned(), problem: problem.to_owned() });
    let Ok(config) = serde_json::from_slice::<Value>(config) else { return refuse("its configuration is no JSON") };
    if config.get("architecture").and_then(Value::as_str) != Some("wasm") {
        return refuse("its configuration's architecture is not `wasm`");
    }
    let digests = config.get("layerDigests").and_then(Value::as_array);
    if digests.and_then(|digests| digests.first()).and_then(Value::as_str) != Some(&layer.digest) {
        return refuse("its configuration is about another layer");
    }
    Ok(())
}
