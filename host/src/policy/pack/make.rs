//! Packing: from policies that are ready to a pack's bytes.

use super::{
    PackError,
    statement::{MadeFor, PackStatement, PackedPolicy},
};
use crate::{
    config::Policies,
    policy::{Engine, assemble, cache::sha256, event::PolicyProblem},
};

/// A pack that nobody has signed yet.
#[derive(Debug)]
pub struct Draft {
    statement: PackStatement,
    contents: Vec<u8>,
}

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackingError {
    /// There is no policy.
    #[error("the configuration names no policies' components, so there is nothing to pack")]
    Nothing,
    /// The version is none.
    #[error("the pack's version `{version}` is no semantic version: {problem}")]
    NoVersion {
        /// The version.
        version: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The policies are not all good.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Policies(Vec<PolicyProblem>),
    /// A policy's native code cannot be had.
    #[error("policy {name}: failed to take its native code: {message}")]
    Code {
        /// The policy.
        name: String,
        /// Why.
        message: String,
    },
}

impl Draft {
    /// Loads the policies of `config` as a gateway would: signatures, versions, settings, snapshot, native code, cases.
    ///
    /// Takes up to the compile timeout for each.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, at once.
    pub fn of(engine: &Engine, config: &Policies, version: &str) -> Result<Self, PackingError> {
        semver::Version::parse(version)
            .map_err(|error| PackingError::NoVersion { version: version.to_owned(), problem: error.to_string() })?;
        if config.sources.is_empty() || config.pack.is_some() {
            return Err(PackingError::Nothing);
        }
        let assembly = assemble::assemble(engine, config, &Default::default(), &Default::default());
        if !assembly.failed.is_empty() {
            return Err(PackingError::Policies(assembly.failed.into_values().flatten().collect()));
        }
        let mut contents = Vec::new();
        let mut policies = Vec::new();
        for (name, ready) in assembly.ready {
            let failed = |message: String| PackingError::Code { name: name.clone(), message };
            let manifest = serde_json::to_vec(ready.policy.manifest()).map_err(|error| failed(error.to_string()))?;
            let settings = ready.policy.settings().as_bytes();
            let code = ready.policy.native().map_err(|error| failed(format!("{error:#}")))?;
            let policy = ready.policy.policy();
            policies.push(PackedPolicy {
                version: policy.version.clone(),
                component: policy.component.clone(),
                settings: policy.settings.clone(),
                form: ready.policy.form(),
                signers: ready.signers,
                manifest_bytes: manifest.len() as u64,
                settings_bytes: settings.len() as u64,
                code_bytes: code.len() as u64,
                name,
            });
            contents.extend_from_slice(&manifest);
            contents.extend_from_slice(settings);
            contents.extend_from_slice(&code);
        }
        Ok(Self::with(version, MadeFor::here(&config.limits), policies, contents))
    }

    pub(super) fn with(version: &str, made_for: MadeFor, policies: Vec<PackedPolicy>, contents: Vec<u8>) -> Self {
        let digest = format!("sha256:{}", sha256(&contents));
        Self { statement: PackStatement::new(version.to_owned(), made_for, digest, policies), contents }
    }

    /// What is to be signed.
    #[must_use]
    pub const fn statement(&self) -> &PackStatement {
        &self.statement
    }

    #[cfg(test)]
    pub(in crate::policy) fn contents(&self) -> &[u8] {
        &self.contents
    }

    /// The pack, with `signatures` over its statement.
    ///
    /// # Errors
    ///
    /// Where statement or signatures are longer than any gateway takes.
    pub fn signed(&self, signatures: &[u8]) -> Result<Vec<u8>, PackError> {
        super::sealed(&self.statement.to_bytes(), signatures, &self.contents)
    }
}
