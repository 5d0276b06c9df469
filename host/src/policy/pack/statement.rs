//! What is signed of a pack: what is in it, and whom it was made for.

use serde::{Deserialize, Serialize};

use super::PackError;
use crate::{
    config::Limits,
    decision::PolicyRef,
    policy::artifact::{CONTRACT, Form},
};

/// Says what it is: a signature over it can be taken for nothing else that its key signs, not for one over a
/// component's statement either.
const KIND: &str = "vestibule-pack-statement/1";

/// The wasmtime that this program is made of. Its own check of native code compares major versions alone.
const WASMTIME: &str = "48.0.8";

/// What is said of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PackStatement {
    kind: String,
    /// The pack's version, a semantic one: a lower one than was in force is refused.
    pub version: String,
    /// Which gateways can run it.
    pub made_for: MadeFor,
    /// `sha256:` and the digest of the contents in lower-case hex.
    pub contents: String,
    /// The policies, in the order of the contents.
    pub policies: Vec<PackedPolicy>,
}

/// What native code is good for. It may ask more of the processor than a gateway's has; wasmtime finds that out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MadeFor {
    /// Vestibule's version.
    pub vestibule: String,
    /// wasmtime's version.
    pub wasmtime: String,
    /// Processor and operating system, as `x86_64-linux`.
    pub target: String,
    /// The contract: package and version.
    pub contract: String,
    /// The limits on which native code depends.
    pub limits: Shape,
    /// Those of interpreters.
    pub interpreter_limits: Shape,
}

/// Limits that are a part of the code, by their names in `policies.limits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shape {
    memory_bytes_max: u64,
    table_elements_max: u64,
    stack_bytes_max: u64,
}

/// What is said of one policy in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PackedPolicy {
    /// The name that chains have for it.
    pub name: String,
    /// Its version, as in its manifest.
    pub version: String,
    /// The digest of the component that it was made of: sha-256 in lower-case hex.
    pub component: String,
    /// The digest of its settings: sha-256 in lower-case hex.
    pub settings: String,
    /// How it is asked.
    pub form: Form,
    /// Who had signed the component where it was packed.
    pub signers: Vec<String>,
    pub(super) manifest_bytes: u64,
    pub(super) settings_bytes: u64,
    pub(super) code_bytes: u64,
}

impl PackStatement {
    pub(super) fn new(version: String, made_for: MadeFor, contents: String, policies: Vec<PackedPolicy>) -> Self {
        Self { kind: KIND.to_owned(), version, made_for, contents, policies }
    }

    /// The statement as it is signed: the same statement gives the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a statement.
    ///
    /// # Errors
    ///
    /// [`PackError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PackError> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let malformed = |error: serde_json::Error| PackError::Malformed(error.to_string());
        // What another version says besides is of no matter: it is another version.
        let Kind { kind } = serde_json::from_slice(bytes).map_err(malformed)?;
        if kind != KIND {
            let kind: String = kind.escape_debug().take(60).collect();
            return Err(PackError::Malformed(format!("its kind is `{kind}`, expected `{KIND}`")));
        }
        let statement: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        semver::Version::parse(&statement.version).map_err(|error| {
            PackError::Malformed(format!("its version `{}` is no semantic version: {error}", statement.version))
        })?;
        let mut names: Vec<&str> = statement.policies.iter().map(|policy| policy.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(PackError::Malformed(format!("it names {} twice", twice.join(" and "))));
        }
        if names.contains(&super::NAME) {
            return Err(PackError::Malformed(format!("a policy is called `{}`", super::NAME)));
        }
        Ok(statement)
    }

    /// Can a gateway with these limits run it?
    ///
    /// # Errors
    ///
    /// [`PackError::Foreign`] with the first difference.
    pub fn fits(&self, limits: &Limits) -> Result<(), PackError> {
        let (said, ours) = (&self.made_for, &MadeFor::here(limits));
        for (what, said, ours) in [
            ("Vestibule", &said.vestibule, &ours.vestibule),
            ("wasmtime", &said.wasmtime, &ours.wasmtime),
            ("the target", &said.target, &ours.target),
            ("the contract", &said.contract, &ours.contract),
        ] {
            if said != ours {
                return Err(foreign(what, said, ours));
            }
        }
        said.limits.fits(
            &ours.limits,
            [
                "`policies.limits.memory-bytes-max`",
                "`policies.limits.table-elements-max`",
                "`policies.limits.stack-bytes-max`",
            ],
        )?;
        said.interpreter_limits.fits(
            &ours.interpreter_limits,
            [
                "`policies.limits.interpreter.memory-bytes-max`",
                "`policies.limits.interpreter.table-elements-max`",
                "`policies.limits.interpreter.stack-bytes-max`",
            ],
        )
    }

    /// How long the contents are; none where no file can be so long.
    pub(super) fn contents_bytes(&self) -> Option<usize> {
        let lengths =
            self.policies.iter().flat_map(|policy| [policy.manifest_bytes, policy.settings_bytes, policy.code_bytes]);
        lengths.into_iter().try_fold(0_u64, u64::checked_add).and_then(|length| usize::try_from(length).ok())
    }
}

impl MadeFor {
    /// What a gateway of this program is that has these limits.
    #[must_use]
    pub fn here(limits: &Limits) -> Self {
        Self {
            vestibule: env!("CARGO_PKG_VERSION").to_owned(),
            wasmtime: WASMTIME.to_owned(),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            contract: CONTRACT.to_owned(),
            limits: Shape::of(limits),
            interpreter_limits: Shape::of(&limits.for_interpreters()),
        }
    }
}

impl Shape {
    fn of(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes_max as u64,
            table_elements_max: limits.table_elements_max as u64,
            stack_bytes_max: limits.stack_bytes_max as u64,
        }
    }

    fn fits(&self, ours: &Self, names: [&'static str; 3]) -> Result<(), PackError> {
        let numbers = |shape: &Self| [shape.memory_bytes_max, shape.table_elements_max, shape.stack_bytes_max];
        for ((what, said), ours) in names.into_iter().zip(numbers(self)).zip(numbers(ours)) {
            if said != ours {
                return Err(foreign(what, &said.to_string(), &ours.to_string()));
            }
        }
        Ok(())
    }
}

impl PackedPolicy {
    /// How decisions name it.
    pub(in crate::policy) fn named(&self) -> PolicyRef {
        PolicyRef {
            name: self.name.clone(),
            version: self.version.clone(),
            component: self.component.clone(),
            settings: self.settings.clone(),
        }
    }
}

fn foreign(what: &'static str, said: &str, ours: &str) -> PackError {
    let said = said.escape_debug().take(80).collect();
    PackError::Foreign { what, said, ours: ours.to_owned() }
}
