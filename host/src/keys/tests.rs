//! What the ring must and must not do.

use std::{fs, path::Path};

use serde_json::json;

use super::*;
use crate::clock::ManualClock;

const NOW: u64 = 1_800_000_000;

struct Ring {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    ring: KeyRing,
}

impl Ring {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        generate(&folder.path().join("keys"), &*clock).unwrap();
        let ring = open(&folder.path().join("keys"), &clock).unwrap();
        Self { folder, clock, ring }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn rotate(&mut self, keep: usize) {
        rotate(&self.directory(), keep, &*self.clock).unwrap();
        self.ring = open(&self.directory(), &self.clock).unwrap();
    }
}

fn open(directory: &Path, clock: &Arc<ManualClock>) -> Result<KeyRing, KeyError> {
    KeyRing::open(&Keys { directory: directory.to_owned() }, clock.clone())
}

fn claims() -> Value {
    json!({ "sub": "alice", "iat": NOW, "exp": NOW + 60 })
}

#[test]
fn a63_a_value_sealed_for_one_purpose_or_binding_opens_for_no_other() {
    let ring = Ring::new().ring;
    for purpose in Purpose::ALL {
        let sealed = ring.seal(purpose, "__Host-vestibule\0app.example.com", b"data").unwrap();
        for other in Purpose::ALL {
            let opened = ring.open_sealed(other, "__Host-vestibule\0app.example.com", &sealed);
            assert_eq!(opened.is_ok(), other == purpose, "{purpose:?} as {other:?}");
        }
        for binding in [
            "",
            "app.example.com",
            "__Host-vestibule\0app.example.org",
            "__Host-vestibule",
            "__Host-vestibule\0app.example.com\0",
        ] {
            assert!(ring.open_sealed(purpose, binding, &sealed).is_err(), "{binding:?}");
        }
    }
}

#[test]
fn a63_a_signed_token_is_no_sealed_value_and_the_other_way_round() {
    let ring = Ring::new().ring;
    let jwt = ring.sign("ES256", "session+jwt", &claims()).unwrap();
    assert!(ring.open_sealed(Purpose::Session, "", &jwt).is_err());
    let sealed = ring.seal(Purpose::Session, "", b"{}").unwrap();
    assert!(ring.verify("session+jwt", &sealed).is_err());
}

#[test]
fn a65_a_sealed_value_that_was_cut_extended_or_changed_anywhere_is_invalid() {
    let ring = Ring::new().ring;
    let sealed = ring.seal(Purpose::Session, "b", b"some data").unwrap();
    assert_eq!(ring.open_sealed(Purpose::Session, "b", &sealed).unwrap(), b"some data");
    let refused = |text: &str| assert!(ring.open_sealed(Purpose::Session, "b", text).is_err(), "{text}");
    for end in 0..sealed.len() {
        refused(&sealed[..end]);
        refused(&sealed[end + 1..]);
    }
    for (index, original) in sealed.char_indices() {
        for character in "Aab01-_.=+/ \0é".chars().filter(|character| *character != original) {
            let mut changed = sealed.clone();
            changed.replace_range(index..=index, &character.to_string());
            refused(&changed);
        }
        let mut without = sealed.clone();
        without.remove(index);
        refused(&without);
    }
    // The last character carries bits that stand for nothing: they must be what they were.
    for character in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=% \n".chars() {
        refused(&format!("{sealed}{character}"));
        refused(&format!("{character}{sealed}"));
        let mut changed = sealed.clone();
        if changed.pop() != Some(character) {
            changed.push(character);
            refused(&changed);
        }
    }
    for wild in [
        "",
        ".",
        "..",
        "v1..",
        "v1.x.",
        "v2",
        &sealed.replacen("v1", "v2", 1),
        &sealed.to_uppercase(),
        &format!("{sealed}{sealed}"),
    ] {
        refused(wild);
    }
}

#[test]
fn the_same_data_is_sealed_differently_each_time() {
    let ring = Ring::new().ring;
    let one = ring.seal(Purpose::Sso, "b", b"x").unwrap();
    assert_ne!(one, ring.seal(Purpose::Sso, "b", b"x").unwrap());
}

#[test]
fn another_ring_opens_and_verifies_nothing() {
    let (one, other) = (Ring::new().ring, Ring::new().ring);
    let sealed = one.seal(Purpose::Sso, "b", b"x").unwrap();
    assert!(other.open_sealed(Purpose::Sso, "b", &sealed).is_err());
    let jwt = one.sign("EdDSA", "jwt", &claims()).unwrap();
    assert!(matches!(other.verify("jwt", &jwt), Err(KeyError::Token(TokenFault::UnknownKey))));
    assert_ne!(one.pseudonym("a"), other.pseudonym("a"));
    assert_ne!(one.cache_key().expose(), other.cache_key().expose());
}

#[test]
fn signs_and_verifies_with_each_algorithm() {
    let ring = Ring::new().ring;
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let jwt = ring.sign(algorithm, "at+jwt", &claims()).unwrap();
        assert_eq!(ring.verify("at+jwt", &jwt).unwrap(), claims());
        let header = jsonwebtoken::decode_header(&jwt).unwrap();
        let jwks = ring.jwks();
        let key =
            jwks["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header.kid.clone().unwrap()).unwrap();
        assert_eq!((&key["alg"], &key["use"]), (&json!(algorithm), &json!("sig")));
        assert!(key.get("d").is_none());
    }
    assert!(matches!(ring.sign("HS256", "jwt", &claims()), Err(KeyError::NoKey { .. })));
    assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 3);
}

#[test]
fn refuses_a_token_of_another_type_out_of_its_time_or_without_times() {
    let Ring { ring, clock, .. } = Ring::new();
    let fault = |typ: &str, jwt: &str| match ring.verify(typ, jwt) {
        Err(KeyError::Token(fault)) => fault,
        other => panic!("{other:?}"),
    };
    let jwt = ring.sign("ES256", "at+jwt", &claims()).unwrap();
    for typ in ["JWT", "", "AT+JWT", "logout+jwt"] {
        assert_eq!(fault(typ, &jwt), TokenFault::Type);
    }
    clock.advance(59);
    assert!(ring.verify("at+jwt", &jwt).is_ok());
    clock.advance(1);
    assert_eq!(fault("at+jwt", &jwt), TokenFault::Expired);
    for (claims, expected) in [
        (json!({ "iat": NOW }), TokenFault::Expired),
        (json!({ "iat": NOW, "exp": "2099-01-01" }), TokenFault::Expired),
        (json!({ "iat": NOW, "exp": -1 }), TokenFault::Expired),
        (json!({ "exp": NOW + 999 }), TokenFault::IssuedInFuture),
        (json!({ "exp": NOW + 999, "iat": NOW + 300 }), TokenFault::IssuedInFuture),
    ] {
        let jwt = ring.sign("ES256", "jwt", &claims).unwrap();
        assert_eq!(fault("jwt", &jwt), expected, "{claims}");
    }
}

#[test]
fn a_hint_may_be_old_but_not_of_another_type_or_ring() {
    let Ring { ring, clock, .. } = Ring::new();
    let jwt = ring.sign("RS256", "JWT", &claims()).unwrap();
    clock.advance(1_000_000);
    assert_eq!(ring.verify_hint(&jwt).unwrap(), claims());
    assert!(ring.verify_hint(&ring.sign("RS256", "at+jwt", &claims()).unwrap()).is_err());
    assert!(Ring::new().ring.verify_hint(&jwt).is_err());
}

#[test]
fn a65_refuses_a_token_that_was_changed_or_says_another_algorithm() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let ring = Ring::new().ring;
    let jwt = ring.sign("ES256", "jwt", &claims()).unwrap();
    let kid = jsonwebtoken::decode_header(&jwt).unwrap().kid.unwrap();
    let parts: Vec<&str> = jwt.split('.').collect();
    for (index, original) in jwt.char_indices() {
        let mut changed = jwt.clone();
        changed.replace_range(index..=index, if original == 'A' { "B" } else { "A" });
        assert!(ring.verify("jwt", &changed).is_err(), "{index}");
    }
    for end in 0..jwt.len() {
        assert!(ring.verify("jwt", &jwt[..end]).is_err(), "{end}");
    }
    for algorithm in ["none", "HS256", "RS256", "EdDSA", "ES384", "es256"] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "typ": "jwt", "kid": kid }).to_string());
        for signature in ["", parts[2]] {
            assert!(ring.verify("jwt", &format!("{header}.{}.{signature}", parts[1])).is_err(), "{algorithm}");
        }
        // Signed with the public key as if it were a shared secret.
        let secret = jsonwebtoken::EncodingKey::from_secret(ring.jwks().to_string().as_bytes());
        let message = format!("{header}.{}", parts[1]);
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &secret, jsonwebtoken::Algorithm::HS256).unwrap();
        assert!(ring.verify("jwt", &format!("{message}.{signature}")).is_err(), "{algorithm}");
    }
    assert!(ring.verify("jwt", &format!("{jwt}A")).is_err());
    assert!(ring.verify("jwt", &format!("{jwt}.{}", parts[2])).is_err());
}

#[test]
fn after_a_rotation_the_newest_works_and_older_ones_open_and_verify_while_they_are_kept() {
    let mut ring = Ring::new();
    let sealed = ring.ring.seal(Purpose::Session, "b", b"old").unwrap();
    let jwt = ring.ring.sign("ES256", "jwt", &claims()).unwrap();
    let (pseudonym, cache_key) = (ring.ring.pseudonym("alice"), ring.ring.cache_key());
    let first = ring.ring.jwks()["keys"][0]["kid"].clone();

    ring.rotate(1);
    assert_eq!(ring.ring.open_sealed(Purpose::Session, "b", &sealed).unwrap(), b"old");
    assert!(ring.ring.verify("jwt", &jwt).is_ok());
    assert_ne!(ring.ring.jwks()["keys"][0]["kid"], first, "the newest is the first");
    assert_eq!(ring.ring.jwks()["keys"].as_array().unwrap().len(), 6);
    let newest = ring.ring.seal(Purpose::Session, "b", b"new").unwrap();
    assert_ne!(newest.split('.').nth(1), sealed.split('.').nth(1));

    ring.rotate(1);
    assert!(ring.ring.open_sealed(Purpose::Session, "b", &sealed).is_err());
    assert!(ring.ring.verify("jwt", &jwt).is_err());
    assert_eq!(ring.ring.open_sealed(Purpose::Session, "b", &newest).unwrap(), b"new");

    ring.rotate(0);
    assert!(ring.ring.open_sealed(Purpose::Session, "b", &newest).is_err());
    assert_eq!(ring.ring.jwks()["keys"].as_array().unwrap().len(), 3);
    assert_eq!(ring.ring.pseudonym("alice"), pseudonym, "the audit stays searchable");
    assert_eq!(ring.ring.cache_key().expose(), cache_key.expose());
}

#[test]
fn a_pseudonym_is_keyed_short_and_stable() {
    let ring = Ring::new().ring;
    let pseudonym = ring.pseudonym("alice@example.com");
    assert_eq!(pseudonym, ring.pseudonym("alice@example.com"));
    assert_ne!(pseudonym, ring.pseudonym("alice@example.con"));
    assert!(pseudonym.len() == 32 && pseudonym.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!(ring.cache_key().expose().len(), 32);
}

#[test]
fn says_how_to_make_a_ring_where_there_is_none_and_never_overwrites_one() {
    let ring = Ring::new();
    let missing = open(&ring.folder.path().join("none"), &ring.clock).unwrap_err();
    assert!(missing.to_string().contains("vestibule keys generate"), "{missing}");
    assert!(matches!(generate(&ring.directory(), &*ring.clock), Err(KeyError::Exists { .. })));
    assert_eq!(fs::read_dir(ring.directory()).unwrap().count(), 1, "nothing is left behind");
}

#[cfg(unix)]
#[test]
fn refuses_a_ring_that_others_may_read_or_replace() {
    use std::os::unix::fs::PermissionsExt as _;
    let ring = Ring::new();
    let (directory, file) = (ring.directory(), file::path(&ring.directory()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&file)), (0o700, 0o600));
    for (path, good, bad) in
        [(&file, 0o600, [0o604, 0o640, 0o620, 0o644, 0o666]), (&directory, 0o700, [0o701, 0o750, 0o720, 0o755, 0o777])]
    {
        for wrong in bad {
            fs::set_permissions(path, fs::Permissions::from_mode(wrong)).unwrap();
            let refused = open(&directory, &ring.clock).unwrap_err();
            assert!(matches!(refused, KeyError::Permissions { .. }), "{wrong:o}: {refused}");
            assert!(refused.to_string().contains("chmod"), "{refused}");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(good)).unwrap();
    }
    assert!(open(&directory, &ring.clock).is_ok());
}

#[test]
fn names_a_malformed_file_and_shows_no_key() {
    let ring = Ring::new();
    let file = file::path(&ring.directory());
    let good = fs::read_to_string(&file).unwrap();
    let json: Value = serde_json::from_str(&good).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        json.to_string()
    };
    let key = json["sealing"][0]["key"].as_str().unwrap().to_owned();
    for text in [
        String::new(),
        "{}".to_owned(),
        good[..good.len() / 2].to_owned(),
        changed(&|json| json["format"] = json!(2)),
        changed(&|json| json["more"] = json!(1)),
        changed(&|json| json["root"] = json!("short")),
        changed(&|json| json["sealing"][0]["key"] = json!(format!("{key}AAAA"))),
        changed(&|json| json["sealing"][0]["id"] = json!("a.b")),
        changed(&|json| json["sealing"] = json!([])),
        changed(&|json| json["sealing"] = json!(key)),
        changed(&|json| json["signing"] = json!([])),
        changed(&|json| json["signing"][0]["algorithm"] = json!("HS256")),
        changed(&|json| json["signing"][0]["algorithm"] = json!("RS256")),
        changed(&|json| {
            json["signing"][0]["private-key"] = json!("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")
        }),
    ] {
        fs::write(&file, &text).unwrap();
        let refused = open(&ring.directory(), &ring.clock).unwrap_err();
        assert!(matches!(refused, KeyError::Malformed { .. }), "{text}\n{refused}");
        let shown = format!("{refused} {refused:?}");
        assert!(shown.contains("keyring.json") && !shown.contains(&key), "{shown}");
    }
}

#[test]
fn a_ring_shows_no_key() {
    let ring = Ring::new();
    let json: Value = serde_json::from_str(&fs::read_to_string(file::path(&ring.directory())).unwrap()).unwrap();
    let shown = format!("{:?}", ring.ring);
    assert!(!shown.contains(json["root"].as_str().unwrap()) && !shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn a_next_certificate_is_published_before_it_signs_and_rotation_leaves_it_alone() {
    let ring = Ring::new();
    let directory = ring.directory();
    let certificates =
        || -> Vec<Vec<u8>> { open(&directory, &ring.clock).unwrap().certificates().map(<[u8]>::to_vec).collect() };
    let first = certificates();
    assert_eq!(first.len(), 1, "a new ring has one");
    rotate(&directory, 0, &*ring.clock).unwrap();
    assert_eq!(certificates(), first);
    assert!(matches!(switch_certificate(&directory), Err(KeyError::NoNextCertificate)));
    add_certificate(&directory, &*ring.clock).unwrap();
    let both = certificates();
    assert_eq!((both.len(), &both[0]), (2, &first[0]), "the first still signs");
    switch_certificate(&directory).unwrap();
    assert_eq!(certificates(), [both[1].clone(), both[0].clone()]);
    switch_certificate(&directory).unwrap();
    assert_eq!(certificates(), both, "taken back");
    drop_certificates(&directory).unwrap();
    assert_eq!(certificates(), first);
}

#[test]
fn a_ring_from_before_saml_opens_and_signs_no_saml() {
    let ring = Ring::new();
    let file = file::path(&ring.directory());
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    json.as_object_mut().unwrap().remove("certificates");
    fs::write(&file, json.to_string()).unwrap();
    let old = open(&ring.directory(), &ring.clock).unwrap();
    assert!(matches!(old.sign_certified(b"x"), Err(KeyError::NoCertificate)));
    add_certificate(&ring.directory(), &*ring.clock).unwrap();
    assert!(open(&ring.directory(), &ring.clock).unwrap().sign_certified(b"x").is_ok());
}

#[test]
fn a_certificate_of_another_key_is_refused() {
    let ring = Ring::new();
    add_certificate(&ring.directory(), &*ring.clock).unwrap();
    let file = file::path(&ring.directory());
    let json: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for change in [
        json!({ "certificate": json["certificates"][1]["certificate"] }),
        json!({ "certificate": "AAAA" }),
        json!({ "certificate": "!" }),
        json!({ "private-key": "x" }),
        json!({ "private-key": json["signing"][0]["private-key"] }),
    ] {
        let mut changed = json.clone();
        for (key, value) in change.as_object().unwrap() {
            changed["certificates"][0][key] = value.clone();
        }
        fs::write(&file, changed.to_string()).unwrap();
        let refused = open(&ring.directory(), &ring.clock).unwrap_err();
        assert!(matches!(refused, KeyError::Malformed { .. }), "{refused}");
    }
}
