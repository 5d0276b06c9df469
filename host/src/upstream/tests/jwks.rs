//! Which keys are taken.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::{
    jose::KEYS_MAX,
    upstream::{
        tests::op::keys,
        token::{TokenKind, UnverifiedToken},
    },
};

fn set(keys: &[Value]) -> KeySet {
    KeySet::from_set(json!({ "keys": keys }).as_object().unwrap()).unwrap()
}

#[track_caller]
fn refusal(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> &'static str {
    set.candidates(id, algorithm).map(|keys| keys.len()).unwrap_err().code
}

fn with(jwk: &Value, members: &Value) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    jwk
}

#[test]
fn refuses_a_key_whose_private_part_is_published() {
    let rsa = &keys().rsa.jwk;
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let set = set(&[with(rsa, &json!({member: "AQAB"})), keys().ec.jwk.clone()]);
        assert_eq!(refusal(&set, Some("rsa-1"), Algorithm::RS256), "key-private", "{member}");
        // The others stay in use.
        assert!(set.candidates(Some("ec-1"), Algorithm::ES256).is_ok());
    }
    let shared = set(&[json!({"kty": "oct", "kid": "rsa-1", "k": "c2VjcmV0", "alg": "RS256"})]);
    assert_eq!(refusal(&shared, Some("rsa-1"), Algorithm::RS256), "key-symmetric");
}

#[test]
fn refuses_a_weak_rsa_key() {
    let modulus = |bytes: usize, top: u8| {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = top;
        URL_SAFE_NO_PAD.encode(modulus)
    };
    let n = keys().rsa.jwk["n"].as_str().unwrap().to_owned();
    let padded = URL_SAFE_NO_PAD.encode([&[0; 200][..], &[0xff; 128][..]].concat());
    for (n, e) in [
        (modulus(64, 0xff), "AQAB"),
        (modulus(128, 0xff), "AQAB"),
        (modulus(256, 0x7f), "AQAB"),
        (modulus(1025, 1), "AQAB"),
        (modulus(100_000, 0xff), "AQAB"),
        (padded, "AQAB"),
        (String::new(), "AQAB"),
        // Exponents 1, 0, 2, none, and 1 with leading zeros.
        (n.clone(), "AQ"),
        (n.clone(), "AA"),
        (n.clone(), "Ag"),
        (n.clone(), ""),
        (n.clone(), "AAAB"),
    ] {
        let set = set(&[json!({"kty": "RSA", "kid": "k", "n": n, "e": e})]);
        assert_eq!(refusal(&set, Some("k"), Algorithm::RS256), "key-weak", "{n:.20} {e}");
    }
}

#[test]
fn refuses_malformed_parameters() {
    let (x, y) = (keys().ec.jwk["x"].as_str().unwrap(), keys().ec.jwk["y"].as_str().unwrap());
    let short = URL_SAFE_NO_PAD.encode([1; 31]);
    let long = URL_SAFE_NO_PAD.encode([1; 33]);
    for jwk in [
        json!({"kty": "EC", "crv": "P-256", "x": short, "y": long}),
        json!({"kty": "EC", "crv": "P-256", "x": x}),
        json!({"kty": "EC", "crv": "P-384", "x": x, "y": y}),
        json!({"kty": "EC", "crv": "P-256", "x": format!("{x}="), "y": y}),
        json!({"kty": "EC", "crv": "P-256", "x": 7, "y": y}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": short}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        json!({"kty": "RSA", "e": "AQAB"}),
    ] {
        let set = set(&[with(&jwk, &json!({"kid": "k"}))]);
        assert_eq!(refusal(&set, Some("k"), Algorithm::ES256), "key-malformed", "{jwk}");
    }
}

#[test]
fn passes_over_keys_that_are_for_something_else() {
    let rsa = &keys().rsa.jwk;
    for other in [
        json!({"use": "enc"}),
        json!({"use": ["sig"]}),
        json!({"key_ops": ["encrypt"]}),
        json!({"key_ops": "verify"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"kty": "EC", "crv": "secp256k1"}),
        json!({"kty": "AKP"}),
        json!({"kty": "OKP", "crv": "X25519"}),
        json!({"kty": 7}),
    ] {
        let set = set(&[with(rsa, &other)]);
        assert_eq!(refusal(&set, Some("rsa-1"), Algorithm::RS256), "key-unknown", "{other}");
    }
    let only = set(&[with(rsa, &json!({"alg": "PS256"}))]);
    assert_eq!(refusal(&only, Some("rsa-1"), Algorithm::RS256), "key-algorithm-mismatch");
    assert!(only.candidates(Some("rsa-1"), Algorithm::PS256).is_ok());
    let odd = KeySet::from_set(json!({"keys": [null, 7, "x", {}, []]}).as_object().unwrap()).unwrap();
    assert_eq!(refusal(&odd, None, Algorithm::RS256), "key-unknown");
}

#[test]
fn a_token_without_a_key_id_needs_a_set_in_which_one_key_fits() {
    let both = set(&[keys().rsa.jwk.clone(), keys().ec.jwk.clone()]);
    assert_eq!(both.candidates(None, Algorithm::RS256).unwrap().len(), 1);
    let two = set(&[keys().rsa.jwk.clone(), keys().pss.jwk.clone()]);
    assert_eq!(refusal(&two, None, Algorithm::RS256), "kid-missing");
    assert_eq!(refusal(&two, None, Algorithm::ES256), "key-algorithm-mismatch");
    // Two keys of one id: each gets its chance.
    let same = set(&[keys().rsa.jwk.clone(), with(&keys().pss.jwk, &json!({"kid": "rsa-1"}))]);
    assert_eq!(same.candidates(Some("rsa-1"), Algorithm::RS256).unwrap().len(), 2);
}

#[test]
fn a_set_is_bounded() {
    let many = vec![keys().ec.jwk.clone(); KEYS_MAX + 1];
    let outcome = KeySet::from_set(json!({ "keys": many }).as_object().unwrap());
    assert_eq!(outcome.unwrap_err().code, "jwks-malformed");
    for document in [json!({}), json!({"keys": {}}), json!({"keys": "x"})] {
        assert_eq!(KeySet::from_set(document.as_object().unwrap()).unwrap_err().code, "jwks-malformed");
    }
}

#[test]
fn reads_a_static_key_in_each_of_its_forms() {
    for (key, algorithm) in [
        (&keys().rsa, Algorithm::RS256),
        (&keys().ec, Algorithm::ES256),
        (&keys().ec384, Algorithm::ES384),
        (&keys().ed, Algorithm::EdDSA),
    ] {
        let token = key.token(&json!({"sub": "a"}));
        let unverified = UnverifiedToken::parse(&token, TokenKind::Id, &[key.algorithm.to_owned()]).unwrap();
        for text in [key.public_pem.clone(), format!("\n  {}", key.jwk), json!({"keys": [key.jwk]}).to_string()] {
            let set = KeySet::from_text(&text).unwrap();
            let found: Vec<Key> = set.candidates(Some(key.kid), algorithm).unwrap().into_iter().cloned().collect();
            assert!(unverified.signed_by(&found).is_ok(), "{text:.40}");
            let stranger = keys().stranger.token(&json!({"sub": "a"}));
            let stranger = UnverifiedToken::parse(&stranger, TokenKind::Id, &["RS256".to_owned()]).unwrap();
            assert!(stranger.signed_by(&found).is_err());
        }
    }
    // A certificate of an EC key that an RSA key signed would be misread by its first
    // algorithm; the key itself counts.
    let certificate = include_str!("ec-by-rsa.pem");
    let set = KeySet::from_text(certificate).unwrap();
    assert_eq!(set.candidates(Some("any"), Algorithm::ES256).unwrap().len(), 1);
    assert_eq!(refusal(&set, None, Algorithm::RS256), "key-algorithm-mismatch");
}

#[test]
fn refuses_a_static_key_that_is_none() {
    let private = with(&keys().rsa.jwk, &json!({"d": "AQAB"})).to_string();
    let shared = json!({"kty": "oct", "k": "c2VjcmV0"}).to_string();
    for (text, expected) in [
        (keys().rsa.private_pem.as_str(), "public-key-malformed"),
        (keys().ec.private_pem.as_str(), "public-key-malformed"),
        ("", "public-key-malformed"),
        ("{", "public-key-malformed"),
        ("{}", "public-key-malformed"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "public-key-malformed"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "public-key-malformed"),
        (include_str!("rsa-1024.pem"), "key-weak"),
        (private.as_str(), "key-private"),
        (shared.as_str(), "key-symmetric"),
    ] {
        assert_eq!(KeySet::from_text(text).unwrap_err().code, expected, "{text:.40}");
    }
}
