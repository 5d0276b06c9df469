//! Local accounts.

use super::*;
use crate::identity::{GroupClaim, Protocol};

/// Cheap, so that the tests are quick; "right" is the password.
fn cheap(password: &str) -> String {
    let params = Params::new(64, 1, 1, None).unwrap();
    let hash: PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), b"0123456789abcdef")
        .unwrap();
    hash.to_string()
}

fn accounts() -> LocalAccounts {
    let hash = cheap("right");
    let text = format!(
        r#"
        [accounts.alice]
        password = "{hash}"
        email = "alice@example.com"
        display-name = "Alice Example"
        given-name = "Alice"
        groups = ["staff", "admins"]
        [accounts.alice.attributes]
        department = "physics"
        email = "other@example.com"
        preferred_username = "root"
        [accounts.bob]
        password = "{hash}"
        email = "bob@example.com"
        email-verified = false
        groups = []
        [accounts."carol@example.com"]
        password = "{hash}"
        disabled = true
        [accounts.dave]
        password = "{hash}"
        "#
    );
    LocalAccounts::parse(&text).unwrap()
}

fn log_in(username: &str, password: &str) -> Result<VerifiedIdentity, UpstreamError> {
    accounts().authenticate("local", "https://gateway.example", username, &Secret::new(password.to_owned()), 1000)
}

fn refusal(username: &str, password: &str) -> UpstreamError {
    log_in(username, password).unwrap_err()
}

#[test]
fn proves_whoever_knows_the_password() {
    let alice = log_in("alice", "right").unwrap().into_inner();
    assert_eq!((alice.upstream.as_str(), alice.protocol), ("local", Protocol::Local));
    assert_eq!((alice.issuer.as_str(), alice.subject.as_str()), ("https://gateway.example", "alice"));
    assert_eq!(alice.email, Some(Email { address: "alice@example.com".to_owned(), verified: true }));
    assert_eq!(alice.groups, GroupClaim::Listed(vec!["staff".to_owned(), "admins".to_owned()]));
    assert_eq!((alice.auth_time, alice.amr), (Some(1000), vec!["pwd".to_owned()]));
    let expected = serde_json::json!({
        "department": "physics", "email": "alice@example.com", "given_name": "Alice", "name": "Alice Example",
        "preferred_username": "alice",
    });
    assert_eq!(serde_json::to_value(alice.claims).unwrap(), expected);
    let bob = log_in("bob", "right").unwrap().into_inner();
    assert_eq!((bob.email.unwrap().verified, bob.groups), (false, GroupClaim::Listed(Vec::new())));
    assert_eq!(log_in("dave", "right").unwrap().groups, GroupClaim::Absent);
}

#[test]
fn tells_nobody_whether_an_account_exists() {
    let wrong = refusal("alice", "wrong");
    assert_eq!(wrong.code, "credentials-refused");
    let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
    for (username, password) in [
        ("nobody", "right"),
        ("", ""),
        ("alice", ""),
        ("alice", "Right"),
        ("alice", "right "),
        ("Alice", "right"),
        ("alice ", "right"),
        ("carol@example.com", "wrong"),
        ("alice", long.as_str()),
        ("nobody", long.as_str()),
        ("alice\0", "right"),
        ("accounts", "right"),
    ] {
        assert_eq!(refusal(username, password), wrong, "{username} {password:.10}");
    }
}

#[test]
fn a_disabled_account_is_told_apart_only_by_whoever_knows_its_password() {
    assert_eq!(refusal("carol@example.com", "right").code, "account-disabled");
    assert_eq!(refusal("carol@example.com", "wrong").code, "credentials-refused");
}

#[test]
fn an_unknown_name_costs_what_the_costliest_account_costs() {
    let costly = Params::new(128, 3, 1, None).unwrap();
    let hash: PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, costly)
        .hash_password_with_salt(b"x", b"0123456789abcdef")
        .unwrap();
    let text = format!("[accounts.a]\npassword = \"{}\"\n[accounts.b]\npassword = \"{hash}\"\n", cheap("right"));
    let accounts = LocalAccounts::parse(&text).unwrap();
    assert_eq!(accounts.nobody.params, hash.params);
    assert_eq!(accounts.nobody.algorithm, hash.algorithm);
    assert_eq!(accounts.nobody.hash.as_ref().map(|output| output.len()), Some(32));
    let none = LocalAccounts::parse("").unwrap();
    assert_eq!(Params::try_from(&none.nobody).unwrap().m_cost(), Params::DEFAULT_M_COST);
}

#[test]
fn refuses_a_file_that_is_not_as_documented_and_quotes_no_hash() {
    let good = cheap("right");
    for (text, expected) in [
        ("accounts = 1".to_owned(), "line 1"),
        ("\n\n[accounts.a]\nemail = 'a'".to_owned(), "missing field"),
        (format!("[accounts.a]\npassword = '{good}'\nadmin = true"), "line 3"),
        (format!("[users.a]\npassword = '{good}'"), "line 1"),
        (format!("[accounts.a]\npassword = '{good}"), "line 2"),
        ("[accounts.a]\npassword = 'hunter2'".to_owned(), "accounts.a: `password` is no PHC string"),
        ("[accounts.a]\npassword = ['hunter2']".to_owned(), "line 2"),
        (format!("[accounts.a]\npassword = '{}'", good.replace("argon2id", "argon2i")), "argon2id"),
        (format!("[accounts.a]\npassword = '{}'", good.replace("m=64", "m=4000000000")), "accounts.a"),
        (format!("[accounts.a]\npassword = '{}'", good.replace("t=1", "t=100")), "passes"),
        (format!("[accounts.a]\npassword = '{}'", good.rsplit_once('$').unwrap().0), "accounts.a"),
        ("[accounts.a]\npassword = '$pbkdf2-sha256$i=1$c2FsdHNhbHQ$aGFzaGhhc2g'".to_owned(), "accounts.a"),
        (format!("[accounts.\"\"]\npassword = '{good}'"), "username"),
        (format!("[accounts.\"a\\nb\"]\npassword = '{good}'"), "username"),
        ("x".repeat(FILE_BYTES_MAX + 1), "longer"),
    ] {
        let error = LocalAccounts::parse(&text).unwrap_err();
        assert_eq!(error.code, "accounts-malformed");
        assert!(error.detail.contains(expected), "{error} for {text:.60}");
        assert!(!error.detail.contains("hunter2") && !error.detail.contains("$argon2"), "{error}");
    }
    assert_eq!(LocalAccounts::read(Path::new("/nowhere/accounts.toml")).unwrap_err().code, "accounts-unreadable");
}

#[test]
fn makes_the_hash_that_it_takes() {
    let password = Secret::new("correct horse".to_owned());
    let hash = hash_password(&password).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_ne!(hash, hash_password(&password).unwrap());
    let accounts = LocalAccounts::parse(&format!("[accounts.a]\npassword = '{hash}'")).unwrap();
    assert!(accounts.authenticate("local", "i", "a", &password, 0).is_ok());
    for unusable in ["", &"x".repeat(PASSWORD_BYTES_MAX + 1)] {
        assert_eq!(hash_password(&Secret::new(unusable.to_owned())).unwrap_err().code, "password-unusable");
    }
}

#[tokio::test]
async fn the_file_is_read_anew_for_each_login() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = crate::config::Accounts { file: file.path().to_owned() };
    let clock = std::sync::Arc::new(crate::clock::ManualClock::at(1000));
    let upstreams = crate::upstream::Upstreams::new(&crate::upstream::tests::limits(), clock).unwrap();
    let password = Secret::new("right".to_owned());
    let log_in = async || {
        let outcome = upstreams.authenticate(&config, "local", "https://gateway.example", "a", &password).await;
        outcome.map(|identity| identity.auth_time).map_err(|error| error.code)
    };
    assert_eq!(log_in().await, Err("credentials-refused"));
    std::fs::write(file.path(), format!("[accounts.a]\npassword = '{}'", cheap("right"))).unwrap();
    assert_eq!(log_in().await, Ok(Some(1000)));
    std::fs::write(file.path(), format!("[accounts.a]\npassword = '{}'", cheap("changed"))).unwrap();
    assert_eq!(log_in().await, Err("credentials-refused"));
    std::fs::write(file.path(), "[accounts").unwrap();
    assert_eq!(log_in().await, Err("accounts-malformed"));
}
