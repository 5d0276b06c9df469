//! `vestibule generation verify`: would a gateway take this pack?

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::super::{
    output::{Exit, Failure, Output, table},
    trust,
};
use crate::{
    config::{self, Limits},
    policy::{Pack, PackStatement},
};

/// Ends with 1 where the pack is refused.
#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The pack.
    #[arg(value_name = "FILE")]
    pack: PathBuf,
    /// A trusted public key: a `.pub` file. May be given several times.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    key: Vec<PathBuf>,
    /// How many of the keys must have signed.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "config")]
    required: u32,
    /// Take keys, threshold, revocations and limits from this configuration's `[policies.pack]` and
    /// `[policies.limits]` instead.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    config: Option<PathBuf>,
}

pub(super) fn verify(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let (trust, limits) = match &arguments.config {
        None => (trust::of_keys(&arguments.key, arguments.required)?, None),
        Some(path) => {
            let policies = config::load_policies(path).map_err(Failure::of_configuration)?;
            let pack = policies.pack.ok_or_else(|| {
                Failure::text(Exit::Configuration, format!("{} has no `[policies.pack]`", path.display()))
            })?;
            (pack.trust, Some(policies.limits))
        }
    };
    let bytes = read(&arguments.pack, limits.as_ref())?;
    let refused =
        |error: &dyn std::error::Error| Failure::text(Exit::Failed, format!("{}: {error}", arguments.pack.display()));
    let pack = Pack::open(&trust, bytes).map_err(|error| refused(&error))?;
    let statement = pack.statement();
    // Without a configuration it is for whichever gateway it was made for.
    if let Some(limits) = &limits {
        statement.fits(limits).map_err(|error| refused(&error))?;
    }
    output.result(
        format!("{}\nsigned by {}", in_words(statement), pack.signers().join(", ")),
        &json!({ "ok": true, "statement": statement, "signers": pack.signers() }),
    );
    Ok(Exit::Done)
}

/// Reads a pack, which is a file of bounded size.
pub(super) fn read(file: &Path, limits: Option<&Limits>) -> Result<Vec<u8>, Failure> {
    let max = limits.map_or_else(|| Limits::default().pack_bytes_max, |limits| limits.pack_bytes_max);
    let failed = |message: String| Failure::text(Exit::File, format!("{}: {message}", file.display()));
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(format!("failed to read the file: {error}")))?;
    if bytes.len() > max {
        return Err(failed(format!("the file has more than {max} bytes (`policies.limits.pack-bytes-max`)")));
    }
    Ok(bytes)
}

/// What is in a pack.
pub(super) fn in_words(statement: &PackStatement) -> String {
    let made_for = &statement.made_for;
    let mut rows = vec![["POLICY", "VERSION", "COMPONENT", "SETTINGS"].map(str::to_owned).to_vec()];
    rows.extend(statement.policies.iter().map(|policy| {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        vec![policy.name.clone(), policy.version.clone(), short(&policy.component), short(&policy.settings)]
    }));
    format!(
        "pack {} for Vestibule {} on {} (wasmtime {}, {})\n{}",
        statement.version,
        made_for.vestibule,
        made_for.target,
        made_for.wasmtime,
        made_for.contract,
        table(&rows)
    )
}
