//! A28–A32: which address counts, and when it counts as verified.

use serde_json::{Value, json};

use super::{World, op::Reply, upstream};
use crate::{
    config::Upstream,
    identity::Email,
    upstream::{
        authoritative,
        email::{CONFLICT, Stated, TRUSTED_UNVERIFIED, stated},
    },
};

fn read(upstream: &Upstream, signed: Value, userinfo: Value) -> Stated {
    stated(upstream, signed.as_object(), userinfo.as_object())
}

fn email(address: &str, verified: bool) -> Option<Email> {
    Some(Email { address: address.to_owned(), verified })
}

#[test]
fn a29_an_address_that_userinfo_contradicts_is_not_verified() {
    let a = json!({"email": "a@example.com", "email_verified": true});
    for b in [
        json!({"email": "b@example.com"}),
        json!({"email": "b@example.com", "email_verified": true}),
        json!({"email": "a@example.com.evil.example", "email_verified": true}),
        json!({"email": "a@example.com ", "email_verified": true}),
    ] {
        let outcome = read(&upstream(), a.clone(), b);
        assert_eq!(outcome.email, email("a@example.com", false));
        assert_eq!(outcome.warnings, [CONFLICT]);
    }
    // Not even where the operator trusts this upstream: it said two things.
    let trusting = Upstream { trust_unverified_email: true, ..upstream() };
    assert_eq!(read(&trusting, a.clone(), json!({"email": "b@example.com"})).email, email("a@example.com", false));
    assert_eq!(read(&upstream(), a, json!({"email": "A@Example.com"})).email, email("a@example.com", true));
}

#[test]
fn a29_a_flag_counts_only_for_the_address_beside_it() {
    for (signed, userinfo, expected) in [
        (json!({"email_verified": true}), json!({"email": "b@x.example"}), email("b@x.example", false)),
        (json!({"email": "a@x.example"}), json!({"email_verified": true}), email("a@x.example", false)),
        (json!({}), json!({"email": "b@x.example", "email_verified": true}), email("b@x.example", true)),
        (
            json!({"email": "a@x.example"}),
            json!({"email": "a@x.example", "email_verified": true}),
            email("a@x.example", true),
        ),
        // The signed no wins over an unsigned yes.
        (
            json!({"email": "a@x.example", "email_verified": false}),
            json!({"email": "a@x.example", "email_verified": true}),
            email("a@x.example", false),
        ),
        (json!({"email_verified": true}), json!({}), None),
        (json!({"email": "", "email_verified": true}), json!({}), None),
        (json!({"email": ["a@x.example"], "email_verified": true}), json!({}), None),
        (json!({"email": null, "email_verified": true}), json!({"email": 7}), None),
    ] {
        assert_eq!(read(&upstream(), signed.clone(), userinfo).email, expected, "{signed}");
    }
}

#[test]
fn a31_an_unverified_address_counts_only_where_the_operator_says_so_and_that_is_told() {
    let trusting = Upstream { trust_unverified_email: true, ..upstream() };
    for claims in [json!({"email": "a@x.example", "email_verified": false}), json!({"email": "a@x.example"})] {
        let strict = read(&upstream(), claims.clone(), json!({}));
        assert_eq!((strict.email, strict.warnings), (email("a@x.example", false), vec![]));
        let trusted = read(&trusting, claims, json!({}));
        assert_eq!((trusted.email, trusted.warnings), (email("a@x.example", true), vec![TRUSTED_UNVERIFIED]));
    }
    let vouched = read(&trusting, json!({"email": "a@x.example", "email_verified": true}), json!({}));
    assert_eq!(vouched.warnings, [""; 0]);
}

#[test]
fn a32_only_the_value_true_is_true() {
    let texts = Upstream { email_verified_as_text: true, ..upstream() };
    for (flag, strictly, as_text) in [
        (json!(true), true, true),
        (json!("true"), false, true),
        (json!("True"), false, false),
        (json!("TRUE"), false, false),
        (json!(" true"), false, false),
        (json!("false"), false, false),
        (json!("1"), false, false),
        (json!("yes"), false, false),
        (json!(1), false, false),
        (json!(1.0), false, false),
        (json!([true]), false, false),
        (json!({"value": true}), false, false),
        (json!(null), false, false),
        (json!(false), false, false),
    ] {
        let claims = json!({"email": "a@x.example", "email_verified": flag});
        assert_eq!(read(&upstream(), claims.clone(), json!({})).email, email("a@x.example", strictly), "{flag}");
        assert_eq!(read(&texts, claims, json!({})).email, email("a@x.example", as_text), "{flag}");
    }
    assert_eq!(read(&texts, json!({"email": "a@x.example"}), json!({})).email, email("a@x.example", false));
}

#[test]
fn a27_a34_an_address_that_is_none_is_never_verified() {
    let trusting = Upstream { trust_unverified_email: true, ..upstream() };
    for address in [
        "attacker@evil.example@company.example",
        "\"a@evil.example\"@company.example",
        "a@company.example.",
        "a@company.example\0",
        "a@company.example\n",
        "a@company.example ",
        " a@company.example",
        "a@.company.example",
        "a@",
        "@company.example",
        "company.example",
        "a@company.example,b@evil.example",
        "a@company.example;b@evil.example",
        "<a@company.example>",
        "A <a@company.example>",
        "a@[127.0.0.1]",
        "a@comp\u{200b}any.example",
        "a\u{202e}@company.example",
        "a@company..example",
        "a@comp any.example",
    ] {
        for upstream in [&upstream(), &trusting] {
            let outcome = read(upstream, json!({"email": address, "email_verified": true}), json!({}));
            assert_eq!(outcome.email, email(address, false), "{address:?}");
        }
        let owner = Upstream { domains: Some(vec!["company.example".to_owned(), ".example".to_owned()]), ..upstream() };
        assert!(!authoritative(&owner, &email(address, true).unwrap()), "{address:?}");
    }
}

#[test]
fn a30_an_upstream_is_authoritative_for_its_domains_only() {
    let is = |domains: &[&str], address: &str| {
        let domains = Some(domains.iter().map(|domain| (*domain).to_owned()).collect());
        authoritative(&Upstream { domains, ..upstream() }, &email(address, true).unwrap())
    };
    for address in ["x@example.net", "x@EXAMPLE.NET", "x@Example.Net"] {
        assert!(is(&["example.net"], address), "{address}");
    }
    for address in [
        "x@example.com",
        "x@sub.example.net",
        "x@example.net.evil.io",
        "x@evilexample.net",
        "x@example.ne",
        "x@net",
        "x@ex\u{430}mple.net",
    ] {
        assert!(!is(&["example.net"], address), "{address}");
    }
    assert!(is(&[".example.net"], "x@sub.example.net"));
    assert!(is(&[".example.net"], "x@a.b.example.net"));
    assert!(!is(&[".example.net"], "x@example.net"));
    assert!(!is(&[".example.net"], "x@evilexample.net"));
    // Unicode and its A-label are one domain.
    assert!(is(&["b\u{fc}cher.example"], "x@xn--bcher-kva.example"));
    assert!(is(&["xn--bcher-kva.example"], "x@B\u{dc}CHER.example"));
    assert!(!is(&[], "x@example.net"));
    assert!(!is(&["", ".", "@example.net", "*"], "x@example.net"));
    assert!(authoritative(&upstream(), &email("anything", false).unwrap()));
}

#[tokio::test]
async fn a29_userinfos_address_never_replaces_the_signed_one() {
    let mut world = World::new().await;
    world.oidc().userinfo = true;
    let userinfo =
        json!({"sub": "subject-1", "email": "b@example.com", "email_verified": true, "name": "B", "team": "t"});
    world.op.reply("/userinfo", Reply::json(&userinfo));
    let outcome = world.login(|claims| {
        claims.insert("email".to_owned(), json!("a@example.com"));
        claims.insert("email_verified".to_owned(), json!(true));
        claims.insert("name".to_owned(), json!("A"));
    });
    let proof = outcome.await.unwrap();
    assert_eq!(proof.warnings, [CONFLICT]);
    let identity = proof.identity.into_inner();
    assert_eq!(identity.email, email("a@example.com", false));
    assert_eq!(
        serde_json::to_value(identity.claims).unwrap(),
        json!({"email": "a@example.com", "name": "A", "team": "t"})
    );
}
