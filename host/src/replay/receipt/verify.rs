//! A receipt, held to its signature, and its decision made again.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::Value;

use super::{Body, Content, Output, Receipt, ReceiptError, TYPE, opened};
use crate::{
    config::Limits,
    decision::{Answered, Conclusion, Ingredient, PolicyRef, Recipe},
    jose::{KeySet, SignedText},
    keys::KeyRing,
    login::decide_as_stated,
    policy::{Chain, Component, Engine, LoadedPolicy},
};

/// A receipt with the settings of a long chain and the groups of a large application is well below.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// Only the fuel ends a loop.
const DEADLINE: Duration = Duration::from_secs(600);

/// What whoever verifies has.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The keys whose signature counts.
    pub signers: &'a KeySet,
    /// What opens a sealed input, where there is one.
    pub keys: Option<&'a KeyRing>,
    /// The folder with the components.
    pub components: &'a Path,
}

/// A receipt that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verified {
    /// Who states it.
    pub issuer: String,
    /// The key that signed it.
    pub key: Option<String>,
    /// The login.
    pub login: String,
    /// The application.
    pub application: String,
    /// When it was decided, in seconds since 1970-01-01 UTC.
    pub at: u64,
    /// `admitted`, or the code of the denial, or `step-up`, or `stale`.
    pub conclusion: String,
    /// The policies that decided, now as then.
    pub policies: Vec<PolicyRef>,
    /// Instructions that it took, now as then.
    pub fuel: u64,
    /// The hash of the line before it in the recording.
    pub previous: String,
    /// What stands as a pseudonym in it.
    pub redacted: Vec<String>,
}

/// Verifies a receipt: its signature first, then that its decision comes out again, byte for byte.
///
/// Takes up to the compile timeout for each policy.
///
/// # Errors
///
/// Why it is worth nothing.
pub fn verify(text: &str, seen: &Seen<'_>) -> Result<Verified, ReceiptError> {
    // The one byte that a text file may have after it.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let signed = SignedText::parse_within(text, &[TYPE], TEXT_BYTES_MAX).map_err(ReceiptError::Signature)?;
    let candidates = seen.signers.candidates(signed.key_id(), signed.algorithm()).map_err(ReceiptError::Signature)?;
    let claims = signed.signed_by(&candidates).map_err(ReceiptError::Signature)?;
    let receipt: Receipt =
        serde_json::from_value(Value::Object(claims)).map_err(|error| ReceiptError::Malformed(error.to_string()))?;
    let body = match &receipt.content {
        Content::Clear(body) => (**body).clone(),
        Content::Sealed { commitment, sealed } => opened(seen.keys.ok_or(ReceiptError::Sealed)?, commitment, sealed)?,
    };
    consistent(&receipt, &body)?;
    let chain = load(&receipt.chain, seen.components)?;
    let again = decide_as_stated(&chain, &body.asked, &body.found, body.known.as_ref());
    let stated = body.asked.routed.as_ref().map(|routed| &routed.direction);
    let direction = match &again.direction {
        Some(Ok(direction)) => Some(direction),
        Some(Err(denial)) => return Err(ReceiptError::Differs(format!("the way is denied: {denial}"))),
        None => None,
    };
    if direction != stated {
        return Err(ReceiptError::Differs("the way is another one".to_owned()));
    }
    same(&body.output, &Output { conclusion: again.conclusion, answers: again.answers })?;
    Ok(Verified {
        issuer: receipt.iss,
        key: signed.key_id().map(str::to_owned),
        login: receipt.login,
        application: receipt.application,
        at: receipt.at,
        conclusion: in_a_word(&body.output.conclusion),
        policies: receipt.chain.policies.into_iter().map(|ingredient| ingredient.policy).collect(),
        fuel: receipt.fuel,
        previous: receipt.recorded.previous,
        redacted: receipt.redacted.into_iter().collect(),
    })
}

/// What it says of itself outside must be what is inside.
fn consistent(receipt: &Receipt, body: &Body) -> Result<(), ReceiptError> {
    let context = &body.asked.context;
    let held = [
        ("login", receipt.login == context.login),
        ("tenant", receipt.tenant == context.tenant),
        ("application", receipt.application == context.application && receipt.chain.application == context.application),
        ("at", receipt.at == context.at),
        ("fuel", receipt.fuel == super::fuel(&body.output.answers)),
        ("known", body.found.known.is_some() == body.known.is_some()),
    ];
    match held.into_iter().find(|(_, holds)| !holds) {
        Some((name, _)) => Err(ReceiptError::Malformed(format!("its `{name}` is not that of its content"))),
        None => Ok(()),
    }
}

/// The chain, made of the components of these very digests.
fn load(recipe: &Recipe, folder: &Path) -> Result<Chain, ReceiptError> {
    let components = components(folder)?;
    let allowed = &recipe.limits;
    let defaults = Limits::default();
    let limits = Limits {
        fuel: allowed.fuel,
        deadline: DEADLINE,
        memory_bytes_max: allowed.memory_bytes,
        table_elements_max: allowed.table_elements,
        stack_bytes_max: allowed.stack_bytes,
        output_bytes_max: allowed.output_bytes,
        log_lines_max: allowed.log_lines,
        log_line_bytes_max: allowed.log_line_bytes,
        compile_timeout: DEADLINE,
        decisions_max: u32::try_from(recipe.policies.len()).unwrap_or(u32::MAX).saturating_add(1),
        ..defaults
    };
    let engine = Engine::new(&limits, None)?;
    let policies: Result<Vec<Arc<LoadedPolicy>>, ReceiptError> =
        recipe.policies.iter().map(|ingredient| load_one(&engine, ingredient, &components, folder)).collect();
    Ok(Chain::new(policies?))
}

fn load_one(
    engine: &Engine,
    Ingredient { policy, settings }: &Ingredient,
    components: &BTreeMap<String, Vec<u8>>,
    folder: &Path,
) -> Result<Arc<LoadedPolicy>, ReceiptError> {
    let failed = |source| ReceiptError::Load { policy: policy.name.clone(), source };
    let bytes = components.get(&policy.component).ok_or_else(|| ReceiptError::ComponentMissing {
        policy: policy.name.clone(),
        digest: policy.component.clone(),
        folder: folder.display().to_string(),
    })?;
    let settings: Value = serde_json::from_str(settings)
        .map_err(|error| ReceiptError::Malformed(format!("the settings of {} are no JSON: {error}", policy.name)))?;
    let component = Component::check(engine, bytes).map_err(failed)?;
    let loaded = LoadedPolicy::load(engine, &policy.name, &component, &settings).map_err(failed)?;
    if loaded.policy().settings != policy.settings {
        return Err(ReceiptError::Settings {
            policy: policy.name.clone(),
            found: loaded.policy().settings.clone(),
            expected: policy.settings.clone(),
        });
    }
    if loaded.policy() != policy {
        return Err(ReceiptError::Malformed(format!("the policy {} calls itself otherwise", policy.name)));
    }
    Ok(loaded)
}

/// The components in a folder, by their digests.
fn components(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, ReceiptError> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        |source| ReceiptError::File { path, source }
    };
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(fault(folder))? {
        let path = entry.map_err(fault(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let bytes = fs::read(&path).map_err(fault(&path))?;
            let digest = digest(&SHA256, &bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            found.insert(digest, bytes);
        }
    }
    Ok(found)
}

/// Byte for byte; where not, the first place that differs.
fn same(stated: &Output, found: &Output) -> Result<(), ReceiptError> {
    let bytes =
        |output: &Output| serde_json::to_vec(output).map_err(|error| ReceiptError::Malformed(error.to_string()));
    if bytes(stated)? == bytes(found)? {
        return Ok(());
    }
    let differs = |what: String| Err(ReceiptError::Differs(what));
    for (index, answer) in stated.answers.iter().enumerate() {
        let place = |answer: &Answered| format!("{} at {}", answer.policy, answer.hook);
        match found.answers.get(index) {
            None => return differs(format!("{} is not asked", place(answer))),
            Some(other) if place(other) != place(answer) => {
                return differs(format!("{} is asked in the place of {}", place(other), place(answer)));
            }
            Some(other) if other.answer != answer.answer => {
                return differs(format!("{} answers otherwise", place(answer)));
            }
            Some(other) if other.fuel != answer.fuel => {
                let (stated, found) = (answer.fuel, other.fuel);
                return differs(format!("{} takes {found} instructions in the place of {stated}", place(answer)));
            }
            Some(other) if other != answer => {
                return differs(format!("what {} logs, or what is dropped of its answer, is another", place(answer)));
            }
            Some(_) => {}
        }
    }
    if found.answers.len() > stated.answers.len() {
        return differs("more is asked than the receipt says".to_owned());
    }
    differs(format!("it comes to `{}`, or to that with other terms", in_a_word(&found.conclusion)))
}

fn in_a_word(conclusion: &Conclusion) -> String {
    match conclusion {
        Conclusion::Admitted(_) => "admitted".to_owned(),
        Conclusion::Denied(denial) => denial.reason.code.clone(),
        Conclusion::Stale => "stale".to_owned(),
        Conclusion::StepUp(_) => "step-up".to_owned(),
    }
}
