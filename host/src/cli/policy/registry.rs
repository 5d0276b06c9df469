//! `vestibule policy push|pull`: components in OCI registries.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{
    super::{
        output::{Exit, Failure, Output},
        serve,
    },
    signing,
};
use crate::{
    policy::{
        Component, Engine, SIGNATURES_BYTES_MAX, STATEMENT_BYTES_MAX, Statement, signatures_path, statement_path,
    },
    registry::{Credentials, Labels, Limits, Pulled, Reference, Registry, RegistryError, Vouching},
    secret::Secret,
};

/// Pushes a component, and the statement and signatures beside it, if there are any.
#[derive(Args, Debug)]
pub(in crate::cli) struct Push {
    /// The component.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    /// Where to: HOST[:PORT]/NAME[:TAG]; without a tag, the component's version is the tag. Clear text goes
    /// to loopback alone.
    #[arg(value_name = "REF")]
    reference: String,
    #[command(flatten)]
    login: Login,
}

/// Pulls a component, with the statement and signatures that were pushed with it. Says the digest to pin;
/// does not judge signatures: `policy verify` and the gateway do.
#[derive(Args, Debug)]
pub(in crate::cli) struct Pull {
    /// Where from: HOST[:PORT]/NAME[:TAG][@sha256:DIGEST]. A digest pins it: nothing else is taken.
    #[arg(value_name = "REF")]
    reference: String,
    /// Where to [default: the policy's name with `.wasm`].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    login: Login,
}

#[derive(Args, Debug)]
struct Login {
    /// Who asks [default: nobody in particular].
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// A file whose first line is the password or token.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
}

impl Login {
    fn read(&self) -> Result<Option<Credentials>, Failure> {
        let (Some(username), Some(path)) = (&self.username, &self.password_file) else { return Ok(None) };
        let text = Secret::new(
            fs::read_to_string(path)
                .map_err(|error| Failure::text(Exit::File, format!("failed to read {}: {error}", path.display())))?,
        );
        let password = text.expose().lines().next().unwrap_or_default().to_owned();
        Ok(Some(Credentials { username: username.clone(), password: Secret::new(password) }))
    }
}

pub(super) fn push(engine: &Engine, arguments: &Push, output: &Output) -> Result<Exit, Failure> {
    let reference = parse(&arguments.reference)?;
    if reference.digest.is_some() {
        return Err(Failure::text(Exit::CommandLine, "a digest is the result of a push: name a tag, or nothing"));
    }
    let bytes = super::read(&arguments.component)?;
    let component = check(engine, &arguments.component, &bytes)?;
    let vouching = beside(&arguments.component)?;
    if let Some(vouching) = &vouching {
        let fits = Statement::parse(&vouching.statement).and_then(|statement| {
            statement.fits(component.digest())?;
            statement.agrees(component.manifest())
        });
        fits.map_err(|error| {
            let file = statement_path(&arguments.component);
            Failure::text(Exit::Failed, format!("{}: {error}", file.display()))
        })?;
    }
    let labels = Labels {
        name: component.manifest().name.clone(),
        version: component.manifest().version.clone(),
        description: component.manifest().description.clone(),
        imports: component.imports().to_owned(),
        exports: component.exports().to_owned(),
    };
    let mut registry = Registry::new(&reference, arguments.login.read()?).map_err(|error| failure(&error))?;
    output.progress(&format!("pushing {} bytes to {}/{}", bytes.len(), reference.host, reference.name));
    let pushed = serve::runtime()?
        .block_on(registry.push(&bytes, &labels, vouching.as_ref()))
        .map_err(|error| failure(&error))?;
    let pinned = Reference { tag: Some(pushed.tag.clone()), ..reference.pinned(&pushed.digest) };
    let signed = if pushed.vouching.is_some() { "with its statement and signatures" } else { "unsigned" };
    output.result(
        format!("pushed {pinned} ({signed})"),
        &json!({
            "ok": true,
            "reference": pinned.to_string(),
            "tag": pushed.tag,
            "digest": pushed.digest,
            "component": component.digest(),
            "referrer": pushed.vouching,
        }),
    );
    Ok(Exit::Done)
}

pub(super) fn pull(engine: &Engine, arguments: &Pull, output: &Output) -> Result<Exit, Failure> {
    let reference = parse(&arguments.reference)?;
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let limits = Limits {
        // Which of the two limits is the component's own is known when it is there.
        component: wide(engine.component_bytes_max()),
        statement: wide(STATEMENT_BYTES_MAX),
        signatures: wide(SIGNATURES_BYTES_MAX),
    };
    let mut registry = Registry::new(&reference, arguments.login.read()?).map_err(|error| failure(&error))?;
    output.progress(&format!("pulling {reference}"));
    let pulled = serve::runtime()?.block_on(registry.pull(limits)).map_err(|error| failure(&error))?;
    // Nothing is written of what is no policy.
    let component = check(engine, Path::new(&arguments.reference), &pulled.component)?;
    let file = match &arguments.out {
        Some(file) => file.clone(),
        None => PathBuf::from(format!("{}.wasm", component.manifest().name)),
    };
    let vouching = together(&component, &pulled);
    // The component last: a gateway that watches the file finds beside it what belongs to it.
    if let Some(vouching) = &vouching {
        signing::replace(&statement_path(&file), &vouching.statement)?;
        signing::replace(&signatures_path(&file), &vouching.signatures)?;
    }
    signing::replace(&file, &pulled.component)?;
    let pinned = reference.pinned(&pulled.digest);
    let signed = if vouching.is_some() { "with its statement and signatures" } else { "unsigned" };
    output.result(
        format!(
            "pulled {pinned} ({signed})\ncomponent: {}\nto pin it in the configuration: digest = \"{}\"",
            file.display(),
            component.digest()
        ),
        &json!({
            "ok": true,
            "reference": pinned.to_string(),
            "digest": pulled.digest,
            "file": file,
            "component": component.digest(),
            "name": component.manifest().name,
            "version": component.manifest().version,
            "signed": vouching.is_some(),
        }),
    );
    Ok(Exit::Done)
}

/// The statement about the component, and all signatures over the same bytes, whoever pushed them.
fn together(component: &Component, pulled: &Pulled) -> Option<Vouching> {
    let statement = Statement::of(component).to_bytes();
    let mut signatures: Vec<u8> = Vec::new();
    for vouching in pulled.vouching.iter().filter(|it| it.statement == statement) {
        let more = signatures.len() + vouching.signatures.len() + 1;
        if more > SIGNATURES_BYTES_MAX || contains(&signatures, &vouching.signatures) {
            continue;
        }
        signatures.extend_from_slice(&vouching.signatures);
        if !signatures.ends_with(b"\n") {
            signatures.push(b'\n');
        }
    }
    (!signatures.is_empty()).then_some(Vouching { statement, signatures })
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && all.windows(part.len()).any(|window| window == part)
}

/// What is beside the file, where it is both a statement and signatures.
fn beside(file: &Path) -> Result<Option<Vouching>, Failure> {
    let read = |path: &Path, max| signing::read_optional(path, max);
    let (statement_file, signatures_file) = (statement_path(file), signatures_path(file));
    let statement = read(&statement_file, STATEMENT_BYTES_MAX)?;
    let signatures = read(&signatures_file, SIGNATURES_BYTES_MAX)?;
    match (statement, signatures) {
        (Some(statement), Some(signatures)) => Ok(Some(Vouching { statement, signatures })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(&statement_file, &signatures_file)),
        (None, Some(_)) => Err(half(&signatures_file, &statement_file)),
    }
}

fn half(there: &Path, missing: &Path) -> Failure {
    let message =
        format!("{} is there, and {} is not: `vestibule policy sign` makes both", there.display(), missing.display());
    Failure::text(Exit::Failed, message)
}

fn check(engine: &Engine, what: &Path, bytes: &[u8]) -> Result<Component, Failure> {
    Component::check(engine, bytes)
        .map_err(|error| Failure::text(Exit::Failed, format!("{}: {}", what.display(), super::with_causes(&error))))
}

fn parse(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error: RegistryError| Failure::new(Exit::CommandLine, &error))
}

fn failure(error: &RegistryError) -> Failure {
    let exit = match error {
        RegistryError::Unreachable { .. } | RegistryError::Silent { .. } => Exit::Unavailable,
        RegistryError::Tls(_) => Exit::Internal,
        _ => Exit::Failed,
    };
    Failure::new(exit, error)
}
