//! The ring's file: `keyring.json`, mode 0600, in a directory of mode 0700; replaced as a
//! whole, so that a crash leaves the old one or the new one.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    KeyError, certificate,
    sign::{self, ALGORITHMS},
};
use crate::{
    clock::Clock,
    secret::{Secret, random_bytes},
};

const FILE: &str = "keyring.json";
const FORMAT: u32 = 1;
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// The ring as it is written. In each list the newest key is the first.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RingFile {
    format: u32,
    /// 32 bytes in base64url, as is every sealing key.
    #[serde(deserialize_with = "secret_in", serialize_with = "secret_out")]
    pub(super) root: Secret<String>,
    pub(super) sealing: Vec<SealingEntry>,
    pub(super) signing: Vec<SigningEntry>,
    /// The one in use first. A ring that was made before there was SAML has none.
    #[serde(default)]
    pub(super) certificates: Vec<CertificateEntry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SealingEntry {
    pub(super) id: String,
    /// In seconds since 1970-01-01 UTC.
    created: u64,
    /// Since when a newer key does the work.
    retired: Option<u64>,
    #[serde(deserialize_with = "secret_in", serialize_with = "secret_out")]
    pub(super) key: Secret<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SigningEntry {
    pub(super) algorithm: String,
    created: u64,
    retired: Option<u64>,
    /// PEM, PKCS #8.
    #[serde(deserialize_with = "secret_in", serialize_with = "secret_out")]
    pub(super) private_key: Secret<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CertificateEntry {
    created: u64,
    /// DER in base64.
    certificate: String,
    /// PEM, PKCS #8.
    #[serde(deserialize_with = "secret_in", serialize_with = "secret_out")]
    pub(super) private_key: Secret<String>,
}

impl CertificateEntry {
    fn generate(now: u64) -> Result<Self, KeyError> {
        let (private_key, certificate) = certificate::generate(now)?;
        Ok(Self { created: now, certificate: STANDARD.encode(certificate), private_key })
    }

    /// DER.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.certificate).ok()
    }
}

/// Makes a ring in `directory`, which is created where there is none. Returns the file.
///
/// # Errors
///
/// Where there is one already, or it cannot be written.
pub fn generate(directory: &Path, clock: &dyn Clock) -> Result<PathBuf, KeyError> {
    let path = path(directory);
    if path.exists() {
        return Err(KeyError::Exists { path });
    }
    create_directory(directory)?;
    let mut ring = RingFile {
        format: FORMAT,
        root: random_key()?,
        sealing: Vec::new(),
        signing: Vec::new(),
        certificates: vec![CertificateEntry::generate(clock.now())?],
    };
    add_newest(&mut ring, clock.now())?;
    write(directory, &ring, true)?;
    Ok(path)
}

/// Adds a newest key of each kind; of the older ones, the `keep` newest of each kind stay,
/// so that what they sealed and signed is still good. Certificates stay as they are.
///
/// # Errors
///
/// Where the ring cannot be read or replaced; the old one stays in force then.
pub fn rotate(directory: &Path, keep: usize, clock: &dyn Clock) -> Result<PathBuf, KeyError> {
    let mut ring = read(directory)?;
    add_newest(&mut ring, clock.now())?;
    ring.sealing.truncate(keep.saturating_add(1));
    for algorithm in ALGORITHMS {
        let mut seen = 0_usize;
        ring.signing.retain(|key| {
            let counts = key.algorithm == algorithm;
            seen += usize::from(counts);
            !counts || seen <= keep.saturating_add(1)
        });
    }
    write(directory, &ring, false)?;
    Ok(path(directory))
}

/// Adds a certified key: the one in use where there is none, the next one otherwise.
///
/// # Errors
///
/// As [`rotate`].
pub fn add_certificate(directory: &Path, clock: &dyn Clock) -> Result<PathBuf, KeyError> {
    let mut ring = read(directory)?;
    ring.certificates.push(CertificateEntry::generate(clock.now())?);
    write(directory, &ring, false)?;
    Ok(path(directory))
}

/// From now on the newest certified key signs; the others are still published.
///
/// # Errors
///
/// As [`rotate`]; and where there is no newer key than the one in use.
pub fn switch_certificate(directory: &Path) -> Result<PathBuf, KeyError> {
    let mut ring = read(directory)?;
    if ring.certificates.len() < 2 {
        return Err(KeyError::NoNextCertificate);
    }
    ring.certificates.rotate_right(1);
    write(directory, &ring, false)?;
    Ok(path(directory))
}

/// Drops every certified key but the one in use.
///
/// # Errors
///
/// As [`rotate`].
pub fn drop_certificates(directory: &Path) -> Result<PathBuf, KeyError> {
    let mut ring = read(directory)?;
    ring.certificates.truncate(1);
    write(directory, &ring, false)?;
    Ok(path(directory))
}

/// The ring's file in `directory`.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// Reads and checks the file, not yet the keys in it.
pub(super) fn read(directory: &Path) -> Result<RingFile, KeyError> {
    let path = path(directory);
    if !path.exists() {
        return Err(KeyError::Missing { directory: directory.to_owned() });
    }
    check_mode(directory, DIRECTORY_MODE)?;
    check_mode(&path, FILE_MODE)?;
    let text = fs::read_to_string(&path).map_err(|source| KeyError::File { path: path.clone(), source })?;
    let text = Secret::new(text);
    let ring: RingFile = serde_json::from_str(text.expose()).map_err(|error| {
        // serde's own message may quote the value.
        let detail = format!("line {}, column {}: not what a key ring has there", error.line(), error.column());
        KeyError::Malformed { path: path.clone(), detail }
    })?;
    if ring.format != FORMAT {
        let detail = format!("its format is {}, and this program knows {FORMAT}", ring.format);
        return Err(KeyError::Malformed { path, detail });
    }
    Ok(ring)
}

/// 32 bytes from base64url.
pub(super) fn decode_key(text: &Secret<String>) -> Option<Secret<[u8; 32]>> {
    let bytes = Secret::new(URL_SAFE_NO_PAD.decode(text.expose()).ok()?);
    bytes.expose().as_slice().try_into().ok().map(Secret::new)
}

fn add_newest(ring: &mut RingFile, now: u64) -> Result<(), KeyError> {
    const ID_BYTES: usize = 6;
    for retired in
        ring.sealing.iter_mut().map(|key| &mut key.retired).chain(ring.signing.iter_mut().map(|key| &mut key.retired))
    {
        retired.get_or_insert(now);
    }
    let id = random_bytes::<ID_BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    ring.sealing.insert(0, SealingEntry { id, created: now, retired: None, key: random_key()? });
    for (index, algorithm) in ALGORITHMS.into_iter().enumerate() {
        let private_key = sign::generate(algorithm)?;
        let entry = SigningEntry { algorithm: algorithm.to_owned(), created: now, retired: None, private_key };
        ring.signing.insert(index, entry);
    }
    Ok(())
}

fn random_key() -> Result<Secret<String>, KeyError> {
    let bytes = Secret::new(random_bytes::<32>()?);
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes.expose())))
}

/// Writes beside the file, makes it durable, and puts it in place in one step.
fn write(directory: &Path, ring: &RingFile, new: bool) -> Result<(), KeyError> {
    let target = path(directory);
    let temporary = directory.join(format!(".{FILE}.{}", crate::secret::random_token()?));
    let result = write_temporary(&temporary, ring).and_then(|()| {
        if new {
            // Unlike a rename, a link does not replace what somebody else made meanwhile.
            fs::hard_link(&temporary, &target)
        } else {
            fs::rename(&temporary, &target)
        }
    });
    // After a rename there is nothing left to remove.
    let _gone = fs::remove_file(&temporary);
    result.and_then(|()| fs::File::open(directory)?.sync_all()).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists if new => KeyError::Exists { path: target },
        _ => KeyError::File { path: target, source },
    })
}

fn write_temporary(path: &Path, ring: &RingFile) -> std::io::Result<()> {
    let text = Secret::new(serde_json::to_string_pretty(ring)?);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    let mut file = options.open(path)?;
    file.write_all(text.expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn create_directory(directory: &Path) -> Result<(), KeyError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, DIRECTORY_MODE);
    builder.create(directory).map_err(|source| KeyError::File { path: directory.to_owned(), source })?;
    check_mode(directory, DIRECTORY_MODE)
}

#[cfg(unix)]
fn check_mode(path: &Path, wanted: u32) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Permissions { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: u32) -> Result<(), KeyError> {
    Ok(())
}

fn secret_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

fn secret_out<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
