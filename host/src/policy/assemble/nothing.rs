//! A gateway without a compiler makes nothing of components.

use std::collections::BTreeMap;

use super::{Assembly, Passed, Ready};
use crate::{
    config::Policies,
    policy::{Engine, event::PolicyProblem},
};

/// Refuses every policy that `config` names.
pub(super) fn assemble(
    _engine: &Engine,
    config: &Policies,
    _before: &BTreeMap<String, Ready>,
    _passed: &Passed,
) -> Assembly {
    let refused = config.sources.iter().map(|(name, source)| {
        let problem = PolicyProblem {
            policy: Some(name.clone()),
            file: Some(source.component.clone()),
            message: "this gateway has no compiler, and makes nothing of components".to_owned(),
            hint: Some("`[policies.pack]` names a pack, which `vestibule generation pack` makes elsewhere".to_owned()),
            ..PolicyProblem::default()
        };
        (name.clone(), vec![problem])
    });
    Assembly { failed: refused.collect(), ..Assembly::default() }
}
