//! A35–A40 and their kin: an ID token that is not what it seems.

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    CLIENT, NOW, World, code,
    op::{Reply, keys},
    set, unset,
};
use crate::{config::Upstream, upstream::Request};

#[tokio::test]
async fn proves_an_honest_token_of_each_kind_of_key() {
    let world = World::new().await;
    for key in keys().all() {
        let exchange = world.begin().await;
        let proof = world.login_to(&exchange, key, |_| {}).await.unwrap();
        assert_eq!(proof.identity.subject, "subject-1", "{}", key.algorithm);
        assert_eq!(proof.identity.issuer, world.op.issuer());
        assert!(proof.id_token.is_some());
    }
    // RFC 9864's name for what the configuration calls EdDSA.
    let exchange = world.begin().await;
    let claims = Value::Object(world.claims(&exchange)).to_string();
    let token = keys().ed.sign(r#"{"alg":"Ed25519","kid":"ed-1"}"#, &claims);
    assert!(world.complete(&exchange, &token).await.is_ok());
}

#[tokio::test]
async fn a35_refuses_a_token_without_a_signature() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let payload = URL_SAFE_NO_PAD.encode(Value::Object(world.claims(&exchange)).to_string());
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": "NONE"}),
        json!({"alg": "nOnE"}),
        json!({"alg": ""}),
        json!({"alg": null}),
        json!({"alg": ["RS256"]}),
        json!({"typ": "JWT"}),
        json!({"alg": "none", "kid": "rsa-1"}),
    ] {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(code(world.complete(&exchange, &token).await), "alg-none", "{header}");
        }
    }
    for header in [json!({"alg": "RS256", "kid": "rsa-1"}), json!({"alg": "RS256"})] {
        let token = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header.to_string()));
        let refusal = code(world.complete(&exchange, &token).await);
        assert!(matches!(refusal, "signature-invalid" | "kid-missing"), "{refusal}");
    }
}

#[tokio::test]
async fn a36_refuses_a_public_key_used_as_a_shared_secret() {
    let mut world = World::new().await;
    let exchange = world.begin().await;
    let payload = URL_SAFE_NO_PAD.encode(Value::Object(world.claims(&exchange)).to_string());
    let modulus = keys().rsa.jwk["n"].as_str().unwrap();
    for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        for secret in
            [keys().rsa.public_pem.as_bytes(), keys().rsa.jwk.to_string().as_bytes(), modulus.as_bytes(), b"s3cret"]
        {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": name, "kid": "rsa-1"}).to_string());
            let message = format!("{header}.{payload}");
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(code(world.complete(&exchange, &token).await), "alg-symmetric");
            // Not even where somebody lists it.
            world.oidc().algorithms.push(name.to_owned());
            assert_eq!(code(world.complete(&exchange, &token).await), "alg-symmetric");
            world.oidc().algorithms.pop();
        }
    }
}

#[tokio::test]
async fn a36_refuses_an_algorithm_that_is_not_listed_or_not_the_keys() {
    let mut world = World::new().await;
    let exchange = world.begin().await;
    let claims = Value::Object(world.claims(&exchange)).to_string();
    for name in ["RS512", "ES512", "ES256K", "rs256", "RS256 ", "Ed448"] {
        let token = keys().rsa.sign(&json!({"alg": name, "kid": "rsa-1"}).to_string(), &claims);
        assert_eq!(code(world.complete(&exchange, &token).await), "alg-not-allowed", "{name}");
    }
    // An RSA signature called ECDSA, under the kid of either key.
    for (kid, expected) in
        [("rsa-1", "key-algorithm-mismatch"), ("ec-1", "signature-invalid"), ("ed-1", "key-algorithm-mismatch")]
    {
        let token = keys().rsa.sign(&json!({"alg": "ES256", "kid": kid}).to_string(), &claims);
        assert_eq!(code(world.complete(&exchange, &token).await), expected, "{kid}");
    }
    // P-384's signature under P-256's name, and PKCS #1's under PSS's.
    let token = keys().ec384.sign(&json!({"alg": "ES256", "kid": "ec-2"}).to_string(), &claims);
    assert_eq!(code(world.complete(&exchange, &token).await), "key-algorithm-mismatch");
    let token = keys().rsa.sign(&json!({"alg": "PS256", "kid": "rsa-1"}).to_string(), &claims);
    assert_eq!(code(world.complete(&exchange, &token).await), "signature-invalid");
    world.oidc().algorithms = vec!["ES256".to_owned()];
    let token = keys().rsa.sign(&json!({"alg": "RS256", "kid": "rsa-1"}).to_string(), &claims);
    assert_eq!(code(world.complete(&exchange, &token).await), "alg-not-allowed");
}

#[tokio::test]
async fn a36_refuses_an_ecdsa_signature_whose_halves_are_swapped_or_zero() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let token = keys().ec.token(&Value::Object(world.claims(&exchange)));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = signature.split_at(32);
    let zero = [0; 32];
    for forged in
        [[s, r].concat(), [&zero[..], &zero[..]].concat(), [r, &zero].concat(), r.to_vec(), [r, s, &[0]].concat()]
    {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(forged));
        assert_eq!(code(world.complete(&exchange, &token).await), "signature-invalid");
    }
    assert!(world.complete(&exchange, &token).await.is_ok());
}

#[tokio::test]
async fn a36_refuses_another_keys_signature_and_a_changed_payload() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let claims = Value::Object(world.claims(&exchange));
    assert_eq!(code(world.complete(&exchange, &keys().stranger.token(&claims)).await), "signature-invalid");
    // A right signature under the kid of another right key.
    let token = keys().rsa.sign(r#"{"alg":"RS256","kid":"pss-1"}"#, &claims.to_string());
    assert_eq!(code(world.complete(&exchange, &token).await), "signature-invalid");
    let honest = keys().rsa.token(&claims);
    let mut parts: Vec<&str> = honest.split('.').collect();
    let mut other = world.claims(&exchange);
    other.insert("sub".to_owned(), json!("subject-2"));
    let payload = URL_SAFE_NO_PAD.encode(Value::Object(other).to_string());
    parts[1] = &payload;
    assert_eq!(code(world.complete(&exchange, &parts.join(".")).await), "signature-invalid");
}

#[tokio::test]
async fn a36_never_takes_a_key_from_the_token() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let claims = Value::Object(world.claims(&exchange)).to_string();
    let stranger = &keys().stranger;
    world.op.reply("/evil", Reply::json(&json!({"keys": [stranger.jwk]})));
    let evil = world.op.origin.join("/evil").unwrap();
    for header in [
        json!({"alg": "RS256", "jwk": stranger.jwk}),
        json!({"alg": "RS256", "kid": "rsa-1", "jwk": stranger.jwk}),
        json!({"alg": "RS256", "kid": "rsa-1", "jku": evil}),
        json!({"alg": "RS256", "kid": "rsa-1", "x5u": evil}),
        json!({"alg": "RS256", "kid": evil}),
        json!({"alg": "RS256", "kid": "../../evil"}),
    ] {
        let refusal = code(world.complete(&exchange, &stranger.sign(&header.to_string(), &claims)).await);
        assert!(matches!(refusal, "signature-invalid" | "kid-missing" | "key-unknown"), "{refusal}");
    }
    assert!(world.op.seen("/evil").is_empty());
}

#[tokio::test]
async fn a36_refuses_headers_that_change_what_a_token_is() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let claims = Value::Object(world.claims(&exchange)).to_string();
    for (extra, expected) in [
        (json!({"typ": "at+jwt"}), "typ-refused"),
        (json!({"typ": "logout+jwt"}), "typ-refused"),
        (json!({"typ": 1}), "typ-refused"),
        (json!({"crit": ["exp"]}), "header-refused"),
        (json!({"crit": []}), "header-refused"),
        (json!({"crit": ["b64"], "b64": false}), "header-refused"),
        (json!({"b64": false}), "header-refused"),
        (json!({"cty": "JWT"}), "header-refused"),
        (json!({"zip": "DEF"}), "header-refused"),
        (json!({"kid": 7}), "id-token-malformed"),
    ] {
        let mut header = json!({"alg": "RS256", "kid": "rsa-1"});
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let token = keys().rsa.sign(&header.to_string(), &claims);
        assert_eq!(code(world.complete(&exchange, &token).await), expected, "{extra}");
    }
    let token = keys().rsa.sign(r#"{"alg":"none","alg":"RS256","kid":"rsa-1"}"#, &claims);
    assert_eq!(code(world.complete(&exchange, &token).await), "id-token-malformed");
    let token = keys().rsa.sign(r#"{"alg":"RS256","kid":"rsa-1","typ":"jwt"}"#, &claims);
    assert!(world.complete(&exchange, &token).await.is_ok());
}

#[tokio::test]
async fn a37_refuses_a_time_that_is_no_number() {
    let world = World::new().await;
    for name in ["exp", "iat", "nbf", "auth_time"] {
        for value in [
            json!("never"),
            json!("99999999999"),
            json!((NOW + 300).to_string()),
            json!(true),
            json!(null),
            json!([NOW]),
            json!({}),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!(u64::MAX),
            json!(""),
        ] {
            let refusal = code(world.login(set(name, value.clone())).await);
            assert_eq!(refusal, "time-malformed", "{name}: {value}");
        }
    }
    assert!(world.login(set("exp", json!(NOW as f64 + 60.5))).await.is_ok());
}

#[tokio::test]
async fn a38_refuses_a_token_for_another_audience() {
    let world = World::new().await;
    for (aud, expected) in [
        (json!("other"), "aud-mismatch"),
        (json!(""), "aud-mismatch"),
        (json!([]), "aud-mismatch"),
        (json!(["other"]), "aud-mismatch"),
        (json!("gateway "), "aud-mismatch"),
        (json!("Gateway"), "aud-mismatch"),
        (json!("gateway,other"), "aud-mismatch"),
        (json!(["gatewa", "y"]), "aud-mismatch"),
        (json!(null), "aud-malformed"),
        (json!(7), "aud-malformed"),
        (json!({"gateway": true}), "aud-malformed"),
        (json!([CLIENT, 7]), "aud-malformed"),
        (json!([[CLIENT]]), "aud-malformed"),
        (json!([CLIENT, "other"]), "azp-missing"),
    ] {
        assert_eq!(code(world.login(set("aud", aud.clone())).await), expected, "{aud}");
    }
    assert_eq!(code(world.login(unset("aud")).await), "aud-missing");
    for azp in [json!("other"), json!(""), json!([CLIENT]), json!(null), json!("Gateway")] {
        let both = |claims: &mut serde_json::Map<String, Value>| {
            claims.insert("azp".to_owned(), azp.clone());
        };
        assert_eq!(code(world.login(both).await), "azp-mismatch", "{azp}");
        let outcome = world.login(|claims| {
            claims.insert("aud".to_owned(), json!([CLIENT, "other"]));
            claims.insert("azp".to_owned(), azp.clone());
        });
        assert_eq!(code(outcome.await), "azp-mismatch", "{azp}");
    }
    let outcome = world.login(|claims| {
        claims.insert("aud".to_owned(), json!(["other", CLIENT]));
        claims.insert("azp".to_owned(), json!(CLIENT));
    });
    assert!(outcome.await.is_ok());
    assert!(world.login(set("aud", json!([CLIENT]))).await.is_ok());
}

#[tokio::test]
async fn a39_refuses_a_token_without_times_or_outside_them() {
    let world = World::new().await;
    for name in ["exp", "iat"] {
        assert_eq!(code(world.login(unset(name)).await), "time-missing", "{name}");
    }
    // The skew is 60 seconds.
    for (name, value, expected) in [
        ("exp", NOW - 60, Err("token-expired")),
        ("exp", NOW - 59, Ok(())),
        ("exp", 0, Err("token-expired")),
        ("iat", NOW + 60, Ok(())),
        ("iat", NOW + 61, Err("token-from-future")),
        ("nbf", NOW + 60, Ok(())),
        ("nbf", NOW + 61, Err("token-not-yet-valid")),
        ("auth_time", NOW + 61, Err("auth-time-from-future")),
    ] {
        let outcome = world.login(set(name, json!(value))).await;
        assert_eq!(outcome.map(|_| ()).map_err(|error| error.code), expected, "{name} {value}");
    }
}

#[tokio::test]
async fn a40_refuses_a_token_of_another_login() {
    let world = World::new().await;
    let other = world.begin().await;
    for nonce in [json!(other.nonce), json!(""), json!("x")] {
        assert_eq!(code(world.login(set("nonce", nonce)).await), "nonce-mismatch");
    }
    for nonce in [json!(null), json!(1), json!([other.nonce])] {
        assert_eq!(code(world.login(set("nonce", nonce)).await), "nonce-missing");
    }
    assert_eq!(code(world.login(unset("nonce")).await), "nonce-missing");
}

#[tokio::test]
async fn refuses_another_issuers_token_byte_for_byte() {
    let world = World::new().await;
    let issuer = world.op.issuer();
    for iss in [
        format!("{issuer}/"),
        issuer.to_uppercase(),
        issuer.replace("http", "https"),
        issuer.replace("127.0.0.1", "localhost"),
        format!("{issuer}?"),
        format!(" {issuer}"),
        String::new(),
        "https://evil.example".to_owned(),
    ] {
        assert_eq!(code(world.login(set("iss", json!(iss))).await), "iss-mismatch", "{iss}");
    }
    assert_eq!(code(world.login(unset("iss")).await), "iss-missing");
    assert_eq!(code(world.login(set("iss", json!([issuer]))).await), "iss-missing");
}

#[tokio::test]
async fn refuses_claims_that_are_named_twice() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let honest = Value::Object(world.claims(&exchange)).to_string();
    let header = r#"{"alg":"RS256","kid":"rsa-1"}"#;
    for extra in [r#""sub":"admin","#, r#""x":1,"x":1,"#, r#""deep":{"a":1,"a":2},"#, r#""\u0073ub":"admin","#] {
        let token = keys().rsa.sign(header, &honest.replacen('{', &format!("{{{extra}"), 1));
        assert_eq!(code(world.complete(&exchange, &token).await), "claims-duplicate", "{extra}");
    }
    for payload in ["", "null", "[]", "\"x\"", "{} {}"] {
        let token = keys().rsa.sign(header, payload);
        assert_eq!(code(world.complete(&exchange, &token).await), "id-token-malformed", "{payload}");
    }
}

#[tokio::test]
async fn refuses_a_subject_that_is_none() {
    let world = World::new().await;
    assert_eq!(code(world.login(unset("sub")).await), "subject-missing");
    assert_eq!(code(world.login(set("sub", json!(null))).await), "subject-missing");
    for sub in [json!(""), json!(7), json!(["a"]), json!("x".repeat(256)), json!("a\nb"), json!("a\0")] {
        assert_eq!(code(world.login(set("sub", sub.clone())).await), "subject-malformed", "{sub}");
    }
}

#[tokio::test]
async fn a46_refuses_an_encrypted_token_without_unpacking_it() {
    let world = World::new().await;
    let exchange = world.begin().await;
    let header = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let bomb = "A".repeat(20_000);
    for token in [
        format!("{}.AAAA.AAAA.{bomb}.AAAA", header(json!({"alg": "RSA-OAEP", "enc": "A128GCM", "zip": "DEF"}))),
        format!("{}..AAAA.{bomb}.AAAA", header(json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}))),
        format!(
            "{}.AAAA.AAAA.AAAA.AAAA",
            header(json!({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_000_000_000}))
        ),
        format!("{}.AAAA.AAAA", header(json!({"alg": "RS256", "enc": "A128GCM"}))),
    ] {
        assert_eq!(code(world.complete(&exchange, &token).await), "id-token-encrypted");
    }
    let long = format!("{}.{}.AAAA", header(json!({"alg": "RS256"})), "A".repeat(70_000));
    for token in ["", "a", "a.b", "a.b.c", "a.b.c.d", "....", "{}", long.as_str(), "e30.e30.e30="] {
        let refusal = code(world.complete(&exchange, token).await);
        assert!(matches!(refusal, "id-token-malformed" | "alg-none"), "{refusal}");
    }
}

#[tokio::test]
async fn holds_the_access_token_to_at_hash() {
    let world = World::new().await;
    for (key, hash) in [(&keys().rsa, &digest::SHA256), (&keys().ec384, &digest::SHA384), (&keys().ed, &digest::SHA512)]
    {
        let half = |text: &str| {
            let whole = digest::digest(hash, text.as_bytes());
            URL_SAFE_NO_PAD.encode(&whole.as_ref()[..whole.as_ref().len() / 2])
        };
        let exchange = world.begin().await;
        assert!(world.login_to(&exchange, key, set("at_hash", json!(half("access-1")))).await.is_ok());
        for wrong in [json!(half("access-2")), json!(""), json!(null), json!("AAAA")] {
            let outcome = world.login_to(&exchange, key, set("at_hash", wrong)).await;
            assert_eq!(code(outcome), "at-hash-mismatch", "{}", key.algorithm);
        }
    }
}

#[tokio::test]
async fn a_recent_or_strong_authentication_that_was_asked_for_must_be_proved() {
    let world = World::new().await;
    let begin = async |max_age, fresh, acr: &[&str]| {
        let acr_values = acr.iter().map(|acr| (*acr).to_owned()).collect();
        let request = Request { max_age, fresh, acr_values, ..World::request() };
        world.upstreams.begin(&world.upstream, &request).await.unwrap()
    };
    let (url, exchange) = begin(Some(100), true, &["gold", "silver"]).await;
    for pair in ["max_age=100", "prompt=login", "acr_values=gold+silver"] {
        assert!(url.query().unwrap().contains(pair), "{url}");
    }
    let outcome = async |exchange, auth_time: Value, acr: Value| {
        let change = |claims: &mut serde_json::Map<String, Value>| {
            claims.insert("auth_time".to_owned(), auth_time);
            claims.insert("acr".to_owned(), acr);
            claims.retain(|_, value| !value.is_null());
        };
        world.login_to(exchange, &keys().rsa, change).await.map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(outcome(&exchange, json!(NOW), json!("gold")).await, Ok(()));
    assert_eq!(outcome(&exchange, json!(NOW), json!("bronze")).await, Err("acr-not-met"));
    assert_eq!(outcome(&exchange, json!(NOW), json!(null)).await, Err("acr-not-met"));
    assert_eq!(outcome(&exchange, json!(null), json!("gold")).await, Err("auth-time-missing"));
    assert_eq!(outcome(&exchange, json!(NOW - 61), json!("gold")).await, Err("auth-time-too-old"));

    let (_, aged) = begin(Some(100), false, &[]).await;
    assert_eq!(outcome(&aged, json!(NOW - 160), json!(null)).await, Ok(()));
    assert_eq!(outcome(&aged, json!(NOW - 161), json!(null)).await, Err("auth-time-too-old"));

    let (_, fresh) = begin(None, true, &[]).await;
    assert_eq!(outcome(&fresh, json!(null), json!(null)).await, Ok(()));
    assert_eq!(outcome(&fresh, json!(NOW - 61), json!(null)).await, Err("auth-time-too-old"));
    // The time that the subject takes at the upstream does not count against it.
    world.clock.advance(500);
    assert_eq!(outcome(&aged, json!(NOW - 100), json!(null)).await, Ok(()));
}

const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
const OTHER: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// A world whose issuer is Entra's template.
async fn entra() -> World {
    let mut world = World::new().await;
    let template = format!("{}/{{tenantid}}/v2.0", world.op.issuer());
    let mut metadata = world.op.metadata();
    metadata["issuer"] = json!(template);
    world.op.reply("/.well-known/openid-configuration", Reply::json(&metadata));
    world.oidc().issuer = template;
    world.upstream.email_verified_claim = "xms_edov".to_owned();
    world
}

fn of_tenant(world: &World, issuer_tenant: &str, tid: Value) -> impl FnOnce(&mut serde_json::Map<String, Value>) {
    let issuer = format!("{}/{issuer_tenant}/v2.0", world.op.issuer());
    move |claims| {
        claims.insert("iss".to_owned(), json!(issuer));
        claims.insert("tid".to_owned(), tid);
        claims.insert("oid".to_owned(), json!("object-1"));
    }
}

#[tokio::test]
async fn a28_an_issuer_of_entra_is_its_tenants_and_only_allowed_tenants_enter() {
    let mut world = entra().await;
    assert!(world.login(of_tenant(&world, TENANT, json!(TENANT))).await.is_ok());
    for (issuer, tid) in [
        (TENANT, json!(OTHER)),
        (TENANT, json!(null)),
        ("{tenantid}", json!("{tenantid}")),
        ("common", json!("common")),
        ("../evil", json!("../evil")),
        ("", json!("")),
    ] {
        let outcome = world.login(of_tenant(&world, issuer, tid)).await;
        assert_eq!(code(outcome), "iss-mismatch", "{issuer}");
    }
    world.upstream.allowed_tenants = Some(vec![OTHER.to_owned()]);
    assert_eq!(code(world.login(of_tenant(&world, TENANT, json!(TENANT))).await), "tenant-not-allowed");
    assert!(world.login(of_tenant(&world, OTHER, json!(OTHER))).await.is_ok());
    world.upstream.allowed_tenants = Some(Vec::new());
    assert_eq!(code(world.login(of_tenant(&world, TENANT, json!(TENANT))).await), "tenant-not-allowed");
}

#[tokio::test]
async fn a28_an_address_of_a_foreign_tenant_is_not_verified_and_no_key() {
    let mut world = entra().await;
    for flag in [json!(null), json!(false), json!("true"), json!(1), json!("1")] {
        let change = of_tenant(&world, TENANT, json!(TENANT));
        let outcome = world.login(|claims| {
            change(claims);
            claims.insert("email".to_owned(), json!("victim@corp.example"));
            // Not the claim that Entra vouches with.
            claims.insert("email_verified".to_owned(), json!(true));
            claims.insert("xms_edov".to_owned(), flag);
        });
        let identity = outcome.await.unwrap().identity.into_inner();
        assert!(!identity.email.unwrap().verified);
        assert_eq!(identity.subject, "subject-1");
        assert!(identity.issuer.contains(TENANT));
    }
    world.upstream = Upstream { subject_claim: "oid".to_owned(), ..world.upstream.clone() };
    let change = of_tenant(&world, TENANT, json!(TENANT));
    let outcome = world.login(|claims| {
        change(claims);
        claims.insert("email".to_owned(), json!("a@corp.example"));
        claims.insert("xms_edov".to_owned(), json!(true));
    });
    let identity = outcome.await.unwrap().identity.into_inner();
    assert!(identity.email.unwrap().verified);
    assert_eq!(identity.subject, "object-1");
}

#[tokio::test]
async fn refuses_a_key_that_is_for_another_issuer() {
    let world = entra().await;
    let mut jwk = keys().rsa.jwk.clone();
    jwk["issuer"] = json!(format!("{}/{OTHER}/v2.0", world.op.issuer()));
    world.op.reply("/jwks", Reply::json(&json!({"keys": [jwk]})));
    assert_eq!(code(world.login(of_tenant(&world, TENANT, json!(TENANT))).await), "iss-mismatch");
    assert!(world.login(of_tenant(&world, OTHER, json!(OTHER))).await.is_ok());
}
