//! The demo's folder: two gateways' configurations, written once and never overwritten, so
//! that what a person changed stays changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::DemoError;
use crate::{
    secret::{self, Secret},
    upstream,
};

/// The ports of the demo, all on loopback.
#[derive(Clone, Copy, Debug)]
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
        outcome: "enters with the default group only",
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
    let fill = |text: &str| {
        text.replace("{APPLICATION}", &ports.application.to_string())
            .replace("{GATEWAY}", &ports.gateway.to_string())
            .replace("{IDP}", &ports.identity_provider.to_string())
    };
    // The ports may be others than last time: these two are written anew at each start.
    write(&gateway.join("vestibule.toml"), &fill(include_str!("gateway.toml")))?;
    write(&identity_provider.join("vestibule.toml"), &fill(include_str!("identity-provider.toml")))?;
    for (name, text) in GATEWAY_SETTINGS {
        write_once(&gateway.join("settings").join(name), text)?;
    }
    for (name, text) in IDENTITY_PROVIDER_SETTINGS {
        write_once(&identity_provider.join("settings").join(name), text)?;
    }
    write_once(&gateway.join("directory.toml"), include_str!("directory.toml"))?;
    let accounts = identity_provider.join("accounts.toml");
    if !accounts.exists() {
        write(&accounts, &accounts_file()?)?;
        restrict(&accounts)?;
    }
    Ok(Folder { gateway, identity_provider })
}

const GATEWAY_SETTINGS: [(&str, &str); 8] = [
    ("redirection-rules.toml", include_str!("settings/redirection-rules.toml")),
    ("domain-restriction.toml", include_str!("settings/domain-restriction.toml")),
    ("attribute-mapping.toml", include_str!("settings/attribute-mapping.toml")),
    ("group-mapping.toml", include_str!("settings/group-mapping.toml")),
    ("default-groups.toml", include_str!("settings/default-groups.toml")),
    ("account-rules.toml", include_str!("settings/account-rules.toml")),
    ("session-terms.toml", include_str!("settings/session-terms.toml")),
    ("admin-reauth.toml", include_str!("settings/admin-reauth.toml")),
];

const IDENTITY_PROVIDER_SETTINGS: [(&str, &str); 4] = [
    ("redirection-rules.toml", include_str!("settings/idp-redirection-rules.toml")),
    ("domain-restriction.toml", include_str!("settings/idp-domain-restriction.toml")),
    ("attribute-mapping.toml", include_str!("settings/attribute-mapping.toml")),
    ("group-mapping.toml", include_str!("settings/idp-group-mapping.toml")),
];

fn accounts_file() -> Result<String, DemoError> {
    let mut text = String::from("# The people of the demo. `vestibule accounts hash` makes a password's hash.\n");
    for person in PEOPLE {
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
    if !from.exists() {
        return Err(DemoError::NoComponents { path: components.to_owned(), missing: name.to_owned() });
    }
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
