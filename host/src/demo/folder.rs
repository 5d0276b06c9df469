//! The demo's folder: what a person changed in it stays changed, whatever else is made anew.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::DemoError;
use crate::{
    config::digest,
    secret::{self, Secret},
    upstream,
};

/// The ports of the demo, all on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Ports {
    pub(super) application: u16,
    pub(super) gateway: u16,
    pub(super) identity_provider: u16,
}

/// Somebody who can log in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    pub(super) username: &'static str,
    pub(super) password: &'static str,
    pub(super) email: &'static str,
    pub(super) given_name: &'static str,
    pub(super) family_name: &'static str,
    pub(super) groups: &'static [&'static str],
    /// What the login comes to with the settings as they are delivered.
    pub(super) outcome: &'static str,
}

pub(super) const PEOPLE: [Person; 4] = [
    Person {
        username: "alice",
        password: "alice-demo",
        email: "alice@example.test",
        given_name: "Alice",
        family_name: "Ångström",
        groups: &["dev", "staff"],
        outcome: "enters with mapped groups",
    },
    Person {
        username: "bob",
        password: "bob-demo",
        email: "bob@example.test",
        given_name: "Bob",
        family_name: "Builder",
        groups: &["catering"],
        outcome: "enters with the default group, and keeps one that he was given by hand",
    },
    Person {
        username: "mallory",
        password: "mallory-demo",
        email: "mallory@elsewhere.test",
        given_name: "Mallory",
        family_name: "Lowe",
        groups: &["dev"],
        outcome: "is refused: the domain is not allowed",
    },
    Person {
        username: "ada",
        password: "ada-demo",
        email: "ada@example.test",
        given_name: "Ada",
        family_name: "Admin",
        groups: &["it-admins", "staff"],
        outcome: "enters as administrator; /admin asks for the password again after a minute",
    },
];

/// The gateway's own accounts, for the emergency door alone.
const AT_THE_DOOR: [Person; 1] = [Person {
    username: "ada",
    password: "ada-emergency",
    email: "ada@example.test",
    given_name: "Ada",
    family_name: "Admin",
    groups: &["emergency", "jira-administrators"],
    outcome: "enters by the emergency door, whatever becomes of the rules",
}];

/// Who comes in by the emergency door.
pub(super) const EMERGENCY: &Person = &AT_THE_DOOR[0];

/// The policies that the demo runs.
pub(super) const POLICIES: [&str; 9] = [
    "redirection-rules",
    "domain-restriction",
    "attribute-mapping",
    "group-mapping",
    "default-groups",
    "account-rules",
    "session-terms",
    "admin-reauth",
    "emergency-access",
];

/// The demo's folder, complete.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) gateway: PathBuf,
    pub(super) identity_provider: PathBuf,
    /// The file that says where the emergency door is.
    pub(super) emergency_path: PathBuf,
    /// Configurations that a person changed.
    pub(super) kept: Vec<PathBuf>,
}

/// What was made at the last start: how a change by hand is told from an older version of ours.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Made {
    ports: Option<Ports>,
    /// sha-256 by file.
    digests: BTreeMap<String, String>,
}

/// Makes what is missing in `folder`: keys, configurations, settings, accounts, and copies
/// of the components.
pub(super) fn prepare(folder: &Path, components: &Path, ports: Ports) -> Result<Folder, DemoError> {
    let gateway = folder.join("gateway");
    let identity_provider = folder.join("identity-provider");
    for place in [&gateway, &identity_provider] {
        make(&place.join("policies"))?;
        make(&place.join("settings"))?;
    }
    for (place, names) in [
        (&gateway, &POLICIES[..]),
        (&identity_provider, &["redirection-rules", "domain-restriction", "attribute-mapping", "group-mapping"][..]),
    ] {
        for name in names {
            copy_component(components, place, name)?;
        }
    }
    let secret_file = folder.join("client-secret");
    if !secret_file.exists() {
        let secret = secret::random_token().map_err(|error| DemoError::Randomness(error.to_string()))?;
        write(&secret_file, &secret)?;
        restrict(&secret_file)?;
    }
    let record = folder.join("made.json");
    let before: Made = fs::read(&record).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut made = Made { ports: Some(ports), ..Made::default() };
    let mut kept = Vec::new();
    for (place, name, template) in [
        (&gateway, "gateway", include_str!("gateway.toml")),
        (&identity_provider, "identity-provider", include_str!("identity-provider.toml")),
    ] {
        let path = place.join("vestibule.toml");
        if let Some(changed) = changed_by_hand(&path, name, &before, ports) {
            write(&path, &changed)?;
            made.digests
                .extend(before.digests.get_key_value(name).map(|(name, digest)| (name.clone(), digest.clone())));
            kept.push(path);
        } else {
            let text = template
                .replace("{APPLICATION}", &ports.application.to_string())
                .replace("{GATEWAY}", &ports.gateway.to_string())
                .replace("{IDP}", &ports.identity_provider.to_string());
            made.digests.insert(name.to_owned(), digest(&text));
            write(&path, &text)?;
        }
    }
    write(&record, &serde_json::to_string_pretty(&made).unwrap_or_default())?;
    let emergency_path = gateway.join("emergency-path");
    if !emergency_path.exists() {
        let secret = secret::random_token().map_err(|error| DemoError::Randomness(error.to_string()))?;
        write(&emergency_path, &format!("/door-{secret}"))?;
        restrict(&emergency_path)?;
    }
    for (name, text) in GATEWAY_SETTINGS {
        write_once(&gateway.join("settings").join(name), text)?;
    }
    for (name, text) in IDENTITY_PROVIDER_SETTINGS {
        write_once(&identity_provider.join("settings").join(name), text)?;
    }
    write_once(&gateway.join("directory.toml"), include_str!("directory.toml"))?;
    for (place, people) in [(&identity_provider, &PEOPLE[..]), (&gateway, &AT_THE_DOOR[..])] {
        let accounts = place.join("accounts.toml");
        if !accounts.exists() {
            write(&accounts, &accounts_file(people)?)?;
            restrict(&accounts)?;
        }
    }
    Ok(Folder { gateway, identity_provider, emergency_path, kept })
}

const GATEWAY_SETTINGS: [(&str, &str); 9] = [
    ("redirection-rules.toml", include_str!("settings/redirection-rules.toml")),
    ("domain-restriction.toml", include_str!("settings/domain-restriction.toml")),
    ("attribute-mapping.toml", include_str!("settings/attribute-mapping.toml")),
    ("group-mapping.toml", include_str!("settings/group-mapping.toml")),
    ("default-groups.toml", include_str!("settings/default-groups.toml")),
    ("account-rules.toml", include_str!("settings/account-rules.toml")),
    ("session-terms.toml", include_str!("settings/session-terms.toml")),
    ("admin-reauth.toml", include_str!("settings/admin-reauth.toml")),
    ("emergency-access.toml", include_str!("settings/emergency-access.toml")),
];

const IDENTITY_PROVIDER_SETTINGS: [(&str, &str); 4] = [
    ("redirection-rules.toml", include_str!("settings/idp-redirection-rules.toml")),
    ("domain-restriction.toml", include_str!("settings/idp-domain-restriction.toml")),
    ("attribute-mapping.toml", include_str!("settings/attribute-mapping.toml")),
    ("group-mapping.toml", include_str!("settings/idp-group-mapping.toml")),
];

/// The configuration at `path`, where a person has changed what was made: with the ports of today,
/// which may be others than last time.
fn changed_by_hand(path: &Path, name: &str, before: &Made, ports: Ports) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    if before.digests.get(name).is_none_or(|made| *made == digest(&text)) {
        return None;
    }
    let Some(old) = before.ports.filter(|old| *old != ports) else { return Some(text) };
    // All at once: one's new port may be another's old one.
    let moved = [
        (old.application, ports.application),
        (old.gateway, ports.gateway),
        (old.identity_provider, ports.identity_provider),
    ];
    let marked = moved.iter().enumerate().fold(text, |text, (index, (old, _))| {
        text.replace(&format!("127.0.0.1:{old}"), &format!("127.0.0.1:\0{index}"))
    });
    Some(
        moved
            .iter()
            .enumerate()
            .fold(marked, |text, (index, (_, new))| text.replace(&format!("\0{index}"), &new.to_string())),
    )
}

/// Fails where a component that the demo needs is not built.
pub(super) fn are_built(components: &Path) -> Result<(), DemoError> {
    let is_missing = |name: &&str| !components.join(name).with_extension("wasm").exists();
    match POLICIES.into_iter().find(is_missing) {
        Some(missing) => Err(DemoError::NoComponents { path: components.to_owned(), missing: missing.to_owned() }),
        None => Ok(()),
    }
}

fn accounts_file(people: &[Person]) -> Result<String, DemoError> {
    let mut text = String::from("# The people of the demo. `vestibule accounts hash` makes a password's hash.\n");
    for person in people {
        let hash = upstream::hash_password(&Secret::new(person.password.to_owned()))
            .map_err(|error| DemoError::Randomness(error.to_string()))?;
        let groups: Vec<String> = person.groups.iter().map(|group| format!("\"{group}\"")).collect();
        text.push_str(&format!(
            "\n[accounts.{}]\npassword = \"{hash}\"\nemail = \"{}\"\nemail-verified = true\ngiven-name = \"{}\"\nfamily-name = \"{}\"\ndisplay-name = \"{} {}\"\ngroups = [{}]\n",
            person.username,
            person.email,
            person.given_name,
            person.family_name,
            person.given_name,
            person.family_name,
            groups.join(", "),
        ));
    }
    Ok(text)
}

/// A component is copied where there is none, and where the built one is newer than the
/// copy: a component that a person replaced stays until the next build.
fn copy_component(components: &Path, place: &Path, name: &str) -> Result<(), DemoError> {
    let from = components.join(name).with_extension("wasm");
    let to = place.join("policies").join(name).with_extension("wasm");
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if to.exists() && modified(&to) >= modified(&from) {
        return Ok(());
    }
    fs::copy(&from, &to).map(drop).map_err(|source| DemoError::File { path: to, source })
}

fn make(path: &Path) -> Result<(), DemoError> {
    fs::create_dir_all(path).map_err(|source| DemoError::File { path: path.to_owned(), source })
}

fn write_once(path: &Path, text: &str) -> Result<(), DemoError> {
    if path.exists() { Ok(()) } else { write(path, text) }
}

fn write(path: &Path, text: &str) -> Result<(), DemoError> {
    fs::write(path, text).map_err(|source| DemoError::File { path: path.to_owned(), source })
}

fn restrict(path: &Path) -> Result<(), DemoError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|source| DemoError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: Ports = Ports { application: 8470, gateway: 8471, identity_provider: 8472 };

    /// A folder with something in place of each component.
    fn prepared(folder: &Path, ports: Ports) -> Folder {
        let components = folder.join("components");
        fs::create_dir_all(&components).unwrap();
        for name in POLICIES {
            fs::write(components.join(name).with_extension("wasm"), name).unwrap();
        }
        are_built(&components).unwrap();
        prepare(folder, &components, ports).unwrap()
    }

    #[test]
    fn what_a_person_changed_stays_changed_and_what_was_made_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let first = prepared(folder.path(), PORTS);
        assert!(first.kept.is_empty());
        let [ours, theirs] = [&first.identity_provider, &first.gateway].map(|place| place.join("vestibule.toml"));
        let changed = fs::read_to_string(&theirs).unwrap() + "\n# by hand, not :8471\n";
        fs::write(&theirs, &changed).unwrap();

        let second = prepared(folder.path(), PORTS);
        assert_eq!(second.kept, std::slice::from_ref(&theirs));
        assert_eq!(fs::read_to_string(&theirs).unwrap(), changed);

        // Ports that are others than last time, and change places.
        let ports = Ports { application: 8471, gateway: 8470, identity_provider: 9000 };
        assert_eq!(prepared(folder.path(), ports).kept, std::slice::from_ref(&theirs));
        let moved = fs::read_to_string(&theirs).unwrap();
        for part in
            ["listen = \"127.0.0.1:8470\"", "url = \"http://127.0.0.1:8471/\"", "issuer = \"http://127.0.0.1:9000\""]
        {
            assert!(moved.contains(part), "{part}\n{moved}");
        }
        assert!(moved.ends_with("# by hand, not :8471\n"), "{moved}");
        assert!(fs::read_to_string(&ours).unwrap().contains("127.0.0.1:9000"));
        assert_eq!(prepared(folder.path(), PORTS).kept, [theirs]);
    }

    #[test]
    fn says_which_component_is_not_built() {
        let folder = tempfile::tempdir().unwrap();
        let error = are_built(folder.path()).unwrap_err();
        assert!(matches!(error, DemoError::NoComponents { missing, .. } if missing == POLICIES[0]));
    }
}
