//! Policies from a pack: all of them, or none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Assembly, MadeOf, Ready, read};
use crate::{
    config::{PackFile, Policies},
    policy::{
        Engine, LoadedPolicy,
        cache::sha256,
        event::PolicyProblem,
        pack::{self, Pack, PackError, Packed},
        versions::Versions,
    },
};

/// Loads the policies of the pack that `config` names. What is unchanged since `before` is taken over.
pub(super) fn assemble(
    engine: &Engine,
    config: &Policies,
    file: &PackFile,
    before: &BTreeMap<String, Ready>,
) -> Assembly {
    load(engine, config, file, before).unwrap_or_else(|message| {
        let problem = PolicyProblem { file: Some(file.file.clone()), message, ..PolicyProblem::default() };
        Assembly { failed: BTreeMap::from([(pack::NAME.to_owned(), vec![problem])]), ..Assembly::default() }
    })
}

fn load(
    engine: &Engine,
    config: &Policies,
    file: &PackFile,
    before: &BTreeMap<String, Ready>,
) -> Result<Assembly, String> {
    let bytes = read(&file.file, config.limits.pack_bytes_max, "pack-bytes-max")?;
    let pack = Pack::open(&file.trust, bytes).map_err(|error| error.to_string())?;
    let statement = pack.statement();
    statement.fits(engine.limits()).map_err(|error| error.to_string())?;
    if let Some(path) = &config.versions_file {
        let versions = Versions::read(path).map_err(|error| error.to_string())?;
        versions.check(pack::NAME, pack::NAME, &statement.version).map_err(|error| error.to_string())?;
    }
    let mut assembly = Assembly { pack: Some(statement.version.clone()), ..Assembly::default() };
    let mut reused = BTreeSet::new();
    for packed in pack.policies() {
        let name = packed.about.name.clone();
        let signers = pack.signers().to_vec();
        let made_of = MadeOf {
            component: packed.about.component.clone(),
            settings: packed.about.settings.clone(),
            rest: rest(&packed),
        };
        let ready = match before.get(&name).filter(|before| before.made_of == made_of) {
            Some(before) => {
                reused.insert(name.clone());
                Ready { signers, ..before.clone() }
            }
            None => Ready { policy: ready(engine, &packed)?, signers, made_of },
        };
        assembly.ready.insert(name, ready);
    }
    assembly.reused = reused;
    Ok(assembly)
}

/// All that is said and there of a policy, beside component and settings.
fn rest(packed: &Packed<'_>) -> String {
    let said = serde_json::to_vec(packed.about).unwrap_or_default();
    [said.as_slice(), packed.manifest, packed.code].map(sha256).concat()
}

fn ready(engine: &Engine, packed: &Packed<'_>) -> Result<Arc<LoadedPolicy>, String> {
    #[expect(unsafe_code, reason = "native code is trusted; keys that may vouch for it did")]
    // SAFETY: it is of a pack that was held to its signatures, and to this program and these limits, when it was
    // opened; its bytes are in this process's memory since.
    let loaded = unsafe { LoadedPolicy::packed(engine, packed) };
    loaded
        .map_err(|error| PackError::Policy { name: packed.about.name.clone(), message: error.to_string() }.to_string())
}
