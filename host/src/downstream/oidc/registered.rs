//! Relying parties that were registered while the gateway runs, and the file that keeps them.
//!
//! A secret is kept as its hash alone: whoever reads the file can pretend to be nobody.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::{file, sha256};

/// One registered relying party, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    /// Unique in its organization.
    pub(super) client_id: String,
    /// For people.
    pub(super) client_name: String,
    /// `authorization_code`, and perhaps `refresh_token`.
    pub(super) grant_types: Vec<String>,
    /// Compared byte for byte.
    pub(super) redirect_uris: Vec<Url>,
    /// Compared byte for byte.
    #[serde(default)]
    pub(super) post_logout_redirect_uris: Vec<Url>,
    /// Where it is told that a session is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) backchannel_logout_uri: Option<Url>,
    /// Does it need the session's `sid` there?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) backchannel_logout_session_required: bool,
    /// The page that ends its session in a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) frontchannel_logout_uri: Option<Url>,
    /// Does it need `iss` and `sid` there?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) frontchannel_logout_session_required: bool,
    /// What it may ask for.
    pub(super) scopes: Vec<String>,
    /// `client_secret_basic`, `client_secret_post`, `private_key_jwt` or `none`.
    pub(super) token_endpoint_auth_method: String,
    /// `ES256`, `RS256` or `EdDSA`.
    pub(super) id_token_signed_response_alg: String,
    /// sha-256 of the secret, in lower-case hex; none makes a public client.
    pub(super) client_secret_sha256: Option<String>,
    /// The keys that verify its assertions (RFC 7591 §2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jwks: Option<Value>,
    /// RFC 9449 §5.2.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) dpop_bound_access_tokens: bool,
    /// RFC 9126 §6.
    #[serde(default)]
    pub(super) require_pushed_authorization_requests: bool,
    /// When it was registered, in seconds since 1970-01-01 UTC.
    pub(super) client_id_issued_at: u64,
}

impl Registration {
    /// Tells it from an earlier one of the same id.
    pub(super) fn mark(&self) -> [u8; 32] {
        let secret = self.client_secret_sha256.as_deref().unwrap_or_default();
        let keys = self.jwks.as_ref().map(Value::to_string).unwrap_or_default();
        let issued_at = self.client_id_issued_at.to_be_bytes();
        sha256(&[self.client_id.as_bytes(), &[0], secret.as_bytes(), &[0], keys.as_bytes(), &[0], &issued_at])
    }
}

/// The file as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    clients: Vec<Registration>,
}

/// The file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientsError {
    /// Not as this version writes it.
    #[error("{path} is not a list of clients: {detail}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Could not be read or written.
    #[error("failed to use {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The clients of one file, by id.
pub(super) type Clients = Arc<BTreeMap<String, Registration>>;

/// Of every file that was used, what it holds.
#[derive(Debug, Default)]
pub(super) struct Registered(RwLock<BTreeMap<PathBuf, Clients>>);

impl Registered {
    /// The clients that `path` keeps; none where there is no such file yet.
    pub(super) fn of(&self, path: &Path) -> Result<Clients, ClientsError> {
        if let Some(clients) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(Arc::clone(clients));
        }
        // Read while nobody else can change it: what was read before a change must not take its place.
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = all.get(path) {
            return Ok(Arc::clone(clients));
        }
        let clients = Arc::new(read(path)?);
        all.insert(path.to_owned(), Arc::clone(&clients));
        Ok(clients)
    }

    /// Changes the clients of `path`, in the file first. `change` says whether there is anything to
    /// keep; two changes follow one another.
    pub(super) fn change<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&mut BTreeMap<String, Registration>) -> Result<T, T>,
    ) -> Result<T, ClientsError> {
        self.of(path)?;
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut clients = all.get(path).map(|clients| BTreeMap::clone(clients)).unwrap_or_default();
        match change(&mut clients) {
            Err(unchanged) => Ok(unchanged),
            Ok(changed) => {
                write(path, &clients)?;
                all.insert(path.to_owned(), Arc::new(clients));
                Ok(changed)
            }
        }
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, Registration>, ClientsError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(ClientsError::File { path: path.to_owned(), source }),
    };
    let malformed = |detail: String| ClientsError::Malformed { path: path.to_owned(), detail };
    let document: Document = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
    if document.version != 1 {
        return Err(malformed(format!("it is of version {}, and this gateway knows 1", document.version)));
    }
    Ok(document.clients.into_iter().map(|client| (client.client_id.clone(), client)).collect())
}

fn write(path: &Path, clients: &BTreeMap<String, Registration>) -> Result<(), ClientsError> {
    let failed = |source| ClientsError::File { path: path.to_owned(), source };
    let document = Document { version: 1, clients: clients.values().cloned().collect() };
    let mut text = serde_json::to_vec_pretty(&document).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    file::replace(path, &text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn client(id: &str) -> Registration {
        Registration {
            client_id: id.into(),
            client_name: id.into(),
            grant_types: vec!["authorization_code".into()],
            redirect_uris: vec![Url::parse("https://rp.example/cb").unwrap()],
            post_logout_redirect_uris: vec![],
            backchannel_logout_uri: None,
            backchannel_logout_session_required: false,
            frontchannel_logout_uri: None,
            frontchannel_logout_session_required: false,
            scopes: vec!["openid".into()],
            token_endpoint_auth_method: "none".into(),
            id_token_signed_response_alg: "ES256".into(),
            client_secret_sha256: None,
            jwks: None,
            dpop_bound_access_tokens: false,
            require_pushed_authorization_requests: false,
            client_id_issued_at: 1,
        }
    }

    fn add(registered: &Registered, path: &Path, id: &str) -> Result<bool, ClientsError> {
        registered.change(path, |clients| {
            if clients.contains_key(id) {
                return Err(false);
            }
            clients.insert(id.to_owned(), client(id));
            Ok(true)
        })
    }

    #[test]
    fn what_is_registered_survives_a_restart_in_a_file_of_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.json");
        let registered = Registered::default();
        assert!(registered.of(&path).unwrap().is_empty());
        assert!(add(&registered, &path, "a").unwrap() && add(&registered, &path, "b").unwrap());
        assert!(!add(&registered, &path, "a").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Registered::default().of(&path).unwrap();
        assert_eq!(again.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_lies_beside_the_file_is_neither_followed_nor_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("clients.json"), folder.path().join("elsewhere"));
        fs::write(&elsewhere, "untouched").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("clients.json.new")).unwrap();
        assert!(add(&Registered::default(), &path, "a").unwrap());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "untouched");
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn of_many_who_register_at_the_first_use_nobody_is_lost() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("clients.json");
            let registered = Registered::default();
            let ids: Vec<String> = (0..6).map(|number| format!("c{number}")).collect();
            std::thread::scope(|scope| {
                for id in &ids {
                    scope.spawn(|| add(&registered, &path, id).unwrap());
                    scope.spawn(|| registered.of(&path).unwrap());
                }
            });
            assert_eq!(registered.of(&path).unwrap().len(), ids.len());
            assert_eq!(Registered::default().of(&path).unwrap().len(), ids.len());
        }
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.json");
        for text in ["", "{", "[]", r#"{"version":2,"clients":[]}"#, r#"{"version":1,"clients":[{"client_id":"a"}]}"#] {
            fs::write(&path, text).unwrap();
            let registered = Registered::default();
            assert!(matches!(registered.of(&path), Err(ClientsError::Malformed { .. })), "{text}");
            assert!(add(&registered, &path, "a").is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_change_that_could_not_be_kept_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/clients.json");
        let registered = Registered::default();
        assert!(matches!(add(&registered, &path, "a"), Err(ClientsError::File { .. })));
        assert!(registered.of(&path).unwrap().is_empty());
    }
}
