//! `vestibule policy keygen|sign|verify`: who vouches for a component.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use minisign::{KeyPair, SecretKey, SecretKeyBox};
use serde_json::json;
use zeroize::Zeroizing;

use super::super::{
    output::{Exit, Failure, Output},
    trust,
};
use crate::{
    config::{self, PublicKey, Trust},
    policy::{
        self, Component, Engine, SIGNATURES_BYTES_MAX, STATEMENT_BYTES_MAX, SignatureError, Statement, signatures_path,
        statement_path,
    },
};

/// Makes a key pair for signing, in minisign's format: `NAME.key` and `NAME.pub`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Keygen {
    /// The files' name without `.key` and `.pub`.
    #[arg(value_name = "NAME")]
    name: PathBuf,
    #[command(flatten)]
    password: Password,
}

/// States what the component is, and signs the statement beside it. A second signer's signature
/// is added to the first's.
#[derive(Args, Debug)]
pub(in crate::cli) struct Sign {
    /// The component.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    #[command(flatten)]
    signer: Signer,
}

/// Holds a component to the signatures beside it, as the gateway does.
#[derive(Args, Debug)]
pub(in crate::cli) struct Verify {
    /// The component.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    /// A trusted public key: a `.pub` file. May be given several times.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    key: Vec<PathBuf>,
    /// How many of the keys must have signed.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, conflicts_with = "config")]
    required: u32,
    /// Take keys, threshold and revocations from this configuration instead.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    config: Option<PathBuf>,
    /// The policy's name in the configuration, or the name that the statement must have
    /// [default: the component's own].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Who signs.
#[derive(Args, Debug)]
pub(in crate::cli) struct Signer {
    /// The secret key, as `vestibule policy keygen` or `minisign -G` made it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    password: Password,
}

impl Signer {
    /// A signature over `bytes`, in its four lines. Anybody may change the `remark` later; nobody the `comment`.
    pub(in crate::cli) fn sign(&self, bytes: &[u8], comment: &str, remark: &str) -> Result<String, Failure> {
        let key = secret_key(self)?;
        // Held to the key that belongs to it: a damaged secret key signs what nobody can verify.
        let public = minisign::PublicKey::from_secret_key(&key)
            .map_err(|error| Failure::text(Exit::Failed, format!("the secret key is damaged: {error}")))?;
        let signature = minisign::sign(Some(&public), &key, bytes, Some(comment), Some(remark));
        signature
            .map(|signature| signature.to_string())
            .map_err(|error| Failure::text(Exit::Internal, format!("failed to sign: {error}")))
    }
}

#[derive(Args, Debug)]
struct Password {
    /// A file whose first line is the key's password [default: asked for].
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The key has no password: whoever has the file can sign.
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
}

impl Password {
    /// The password, where one was given in a file.
    fn read(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| unreadable(path, &error))?);
        let password = text.lines().next().unwrap_or_default();
        if password.is_empty() {
            return Err(Failure::text(
                Exit::File,
                format!("{}: expected a password in the first line", path.display()),
            ));
        }
        Ok(Some(Zeroizing::new(password.to_owned())))
    }
}

pub(super) fn keygen(arguments: &Keygen, output: &Output) -> Result<Exit, Failure> {
    let (secret_file, public_file) = (with_end(&arguments.name, ".key"), with_end(&arguments.name, ".pub"));
    for file in [&secret_file, &public_file] {
        if file.exists() {
            return Err(Failure::text(Exit::Failed, format!("{} exists, and is not overwritten", file.display())));
        }
    }
    let pair = if arguments.password.no_password {
        KeyPair::generate_unencrypted_keypair()
    } else {
        let password = arguments.password.read()?;
        KeyPair::generate_encrypted_keypair(Some(match password {
            Some(password) => password.to_string(),
            None => ask_twice()?.to_string(),
        }))
    };
    let failed = |error: minisign::PError| Failure::text(Exit::Internal, format!("failed to make a key: {error}"));
    let pair = pair.map_err(failed)?;
    let public = pair.pk.to_base64();
    let secret = Zeroizing::new(pair.sk.to_box(None).map_err(failed)?.to_string());
    write_new(&secret_file, secret.as_bytes(), 0o600)?;
    write_new(&public_file, pair.pk.to_box().map_err(failed)?.to_string().as_bytes(), 0o644)?;
    let id = PublicKey::parse(&public).map(|key| key.id()).unwrap_or_default();
    output.result(
        format!(
            "made the key {id}\nsecret (keep it from the gateway's machine): {}\npublic (for `trusted-keys`):                  {}\n{public}",
            secret_file.display(),
            public_file.display()
        ),
        &json!({ "ok": true, "id": id, "public-key": public, "secret-file": secret_file, "public-file": public_file }),
    );
    Ok(Exit::Done)
}

pub(super) fn sign(engine: &Engine, arguments: &Sign, output: &Output) -> Result<Exit, Failure> {
    let component = load(engine, &arguments.component)?;
    let statement = Statement::of(&component);
    let bytes = statement.to_bytes();
    let (statement_file, signatures_file) =
        (statement_path(&arguments.component), signatures_path(&arguments.component));
    let comment = format!("{} {} {}", statement.name, statement.version, statement.component);
    let signature = arguments.signer.sign(&bytes, &comment, "signature from vestibule policy sign")?;
    // Signatures over another statement say nothing about this one.
    let is_same = read_optional(&statement_file, STATEMENT_BYTES_MAX)?.is_some_and(|before| before == bytes);
    let mut signatures = match read_optional(&signatures_file, SIGNATURES_BYTES_MAX)? {
        Some(before) if is_same => String::from_utf8(before)
            .map_err(|_| Failure::text(Exit::Failed, format!("{}: expected text", signatures_file.display())))?,
        _ => String::new(),
    };
    add(&mut signatures, &signature);
    replace(&statement_file, &bytes)?;
    replace(&signatures_file, signatures.as_bytes())?;
    let count = signatures.lines().count() / 4;
    output.result(
        format!(
            "signed {} {}\nstatement:  {}\nsignatures: {} ({count})",
            statement.name,
            statement.version,
            statement_file.display(),
            signatures_file.display()
        ),
        &json!({
            "ok": true,
            "statement": statement,
            "statement-file": statement_file,
            "signatures-file": signatures_file,
            "signatures": count,
        }),
    );
    Ok(Exit::Done)
}

pub(super) fn verify(engine: &Engine, arguments: &Verify, output: &Output) -> Result<Exit, Failure> {
    let trust = trust(arguments)?;
    let component = load(engine, &arguments.component)?;
    let expected = expected(arguments, component.manifest().name.as_str())?;
    let verified = policy::verify_signed(&trust, &arguments.component, &component, &expected);
    let (statement, signers) = verified.map_err(|(file, error)| {
        let mut message = format!("{}: {error}", file.display());
        if matches!(error, SignatureError::Unsigned { .. }) {
            message.push_str(&format!("\n{}", in_force(&trust)));
        }
        Failure::text(Exit::Failed, message)
    })?;
    let keys: Vec<(&String, &PublicKey)> = trust.keys.iter().filter(|(_, key)| !trust.is_revoked(key)).collect();
    let signed: Vec<_> = keys.iter().copied().filter(|(name, _)| signers.contains(name)).collect();
    let ids: BTreeMap<&String, String> = keys.iter().map(|(name, key)| (*name, key.id())).collect();
    output.result(
        format!(
            "{} {} ({}) is signed by {}\n{}",
            statement.name,
            statement.version,
            statement.component,
            described(&signed),
            in_force(&trust)
        ),
        &json!({
            "ok": true,
            "statement": statement,
            "signers": signers,
            "trusted": ids,
            "required": trust.required,
        }),
    );
    Ok(Exit::Done)
}

/// How many must sign, and who may.
fn in_force(trust: &Trust) -> String {
    let keys: Vec<_> = trust.keys.iter().filter(|(_, key)| !trust.is_revoked(key)).collect();
    let signatures =
        if trust.required == 1 { "1 signature is".to_owned() } else { format!("{} signatures are", trust.required) };
    format!("{signatures} required; trusted are {}", described(&keys))
}

fn described(keys: &[(&String, &PublicKey)]) -> String {
    keys.iter().map(|key| policy::described_key(*key)).collect::<Vec<_>>().join(", ")
}

fn trust(arguments: &Verify) -> Result<Trust, Failure> {
    if let Some(path) = &arguments.config {
        let config = config::load(path).map_err(Failure::of_configuration)?;
        if config.policies.trust.required == 0 {
            let message = "the configuration requires no signature (`policies.signatures-required`)";
            return Err(Failure::text(Exit::Configuration, message));
        }
        return Ok(config.policies.trust);
    }
    trust::of_keys(&arguments.key, arguments.required)
}

/// The name that the statement must have.
fn expected(arguments: &Verify, own: &str) -> Result<String, Failure> {
    let Some(name) = &arguments.name else { return Ok(own.to_owned()) };
    let Some(path) = &arguments.config else { return Ok(name.clone()) };
    let config = config::load(path).map_err(Failure::of_configuration)?;
    let source = config.policies.sources.get(name).ok_or_else(|| {
        Failure::text(Exit::Configuration, format!("{}: there is no `[policies.{name}]`", path.display()))
    })?;
    Ok(source.signed_as.clone().unwrap_or_else(|| name.clone()))
}

fn secret_key(arguments: &Signer) -> Result<SecretKey, Failure> {
    let path = &arguments.key;
    let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| unreadable(path, &error))?);
    let failed = |error: minisign::PError| {
        Failure::text(Exit::Failed, format!("failed to open the key {}: {error}", path.display()))
    };
    if is_public(&text) {
        let message = format!("{} is a public key: expected a secret one, as `policy keygen` makes", path.display());
        return Err(Failure::text(Exit::Failed, message));
    }
    let key_box = SecretKeyBox::from_string(&text).map_err(failed)?;
    if arguments.password.no_password {
        return without_checksum(&text).map_or_else(|| key_box.into_unencrypted_secret_key().map_err(failed), Ok);
    }
    let password = match arguments.password.read()? {
        Some(password) => password,
        None => ask("password of the key: ")?,
    };
    key_box.into_secret_key(Some(password.to_string())).map_err(failed)
}

/// One signature more.
pub(in crate::cli) fn add(signatures: &mut String, signature: &str) {
    if !signatures.is_empty() && !signatures.ends_with('\n') {
        signatures.push('\n');
    }
    signatures.push_str(signature.trim_end());
    signatures.push('\n');
}

/// A public key has 42 bytes, of which the first two are its algorithm (minisign(1)).
fn is_public(text: &str) -> bool {
    let last = text.lines().last().unwrap_or_default().trim();
    STANDARD.decode(last).is_ok_and(|bytes| bytes.len() == 42 && bytes.starts_with(b"Ed"))
}

/// A key without a password to which minisign gave no checksum, as version 0.11 does.
fn without_checksum(text: &str) -> Option<SecretKey> {
    let bytes = Zeroizing::new(STANDARD.decode(text.lines().nth(1)?.trim()).ok()?);
    let is_plain = bytes.get(2..4)? == [0, 0];
    let (_, checksum) = bytes.split_last_chunk::<32>()?;
    if is_plain && *checksum == [0; 32] { SecretKey::from_bytes(&bytes).ok() } else { None }
}

fn ask_twice() -> Result<Zeroizing<String>, Failure> {
    let password = ask("password of the new key: ")?;
    if *password != *ask("once more: ")? {
        return Err(Failure::text(Exit::Failed, "the two passwords differ"));
    }
    Ok(password)
}

/// Asks on the terminal, without an echo.
fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let asked = rpassword::prompt_password(prompt).map(Zeroizing::new);
    asked.map_err(|error| {
        let message = format!("failed to ask for the password: {error}; `--password-file` names a file with it");
        Failure::text(Exit::Unavailable, message)
    })
}

fn load(engine: &Engine, file: &Path) -> Result<Component, Failure> {
    let bytes = super::read(file)?;
    Component::check(engine, &bytes)
        .map_err(|error| Failure::text(Exit::Failed, format!("{}: {}", file.display(), super::with_causes(&error))))
}

pub(super) fn read_optional(file: &Path, max: usize) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(file) {
        Ok(bytes) if bytes.len() > max => {
            Err(Failure::text(Exit::File, format!("{} has more than {max} bytes", file.display())))
        }
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// Beside the file, then in its place: a gateway that watches it never sees half of it.
pub(in crate::cli) fn replace(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let beside = with_end(file, ".new");
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| Failure::text(Exit::File, format!("failed to write {}: {error}", file.display())))
}

fn write_new(file: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|error| Failure::text(Exit::File, format!("failed to write {}: {error}", file.display())))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::text(Exit::File, format!("failed to read {}: {error}", path.display()))
}
