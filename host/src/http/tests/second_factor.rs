//! The routes of the second factor: what reaches the login, and what does not.

use super::*;
use crate::login::Options;

async fn post(harness: &Harness, target: &str, body: &str, more: &[(&str, &str)]) -> Read {
    let request = Request::post(target)
        .header("host", "login.example.com")
        .header("content-type", "application/x-www-form-urlencoded");
    harness.send(with(request, more), body.to_owned()).await
}

const OURS: [(&str, &str); 1] = [("origin", "https://login.example.com")];

#[tokio::test]
async fn a_code_or_the_word_that_the_codes_were_seen_reaches_the_login_and_never_both() {
    for (body, heard) in [
        ("login=l1&code=123456", Some("prove l1 123456")),
        ("login=l1&code=", Some("prove l1 ")),
        ("login=l1&seen=1", Some("Seen { login: \"l1\" }")),
        ("login=l1&seen=1&code=123456", None),
        ("login=l1", None),
        ("code=123456", None),
        ("login=l1&code=1&code=2", None),
        ("login=l1&assertion=%7B%7D", Some("passkey l1 {}")),
        ("login=l1&attestation=%7B%7D&name=phone", Some("new passkey l1 phone {} None")),
        ("login=l1&attestation=%7B%7D&name=p&code=1", Some("new passkey l1 p {} Some(\"1\")")),
        ("login=l1&assertion=%7B%7D&code=1", None),
        ("login=l1&assertion=%7B%7D&attestation=%7B%7D", None),
        ("login=l1&assertion=%7B%7D&seen=1", None),
        ("login=l1&assertion=&attestation=", None),
    ] {
        let harness = Harness::new();
        let read = post(&harness, "/login/wiki/second-factor", body, &OURS).await;
        let asked = harness.script.asked.lock().unwrap().clone();
        match heard {
            Some(heard) => assert!(asked.iter().any(|asked| asked.contains(heard)), "{body}: {asked:?}"),
            None => assert!(asked.is_empty() && read.status == StatusCode::BAD_REQUEST, "{body}: {asked:?}"),
        }
    }
}

#[tokio::test]
async fn a_change_of_ones_own_factor_is_sent_by_our_own_page_alone() {
    for (body, origin, heard) in [
        ("change=remove&code=123456", "https://login.example.com", Some("change Remove 123456")),
        ("change=recovery-codes&code=1", "https://login.example.com", Some("change RecoveryCodes 1")),
        ("change=remove&code=123456", "https://wiki.example.com", None),
        ("change=remove&code=123456", "null", None),
        ("change=remove", "https://login.example.com", None),
        ("change=everything&code=1", "https://login.example.com", None),
        ("change=remove&code=&assertion=%7B%7D", "https://login.example.com", Some("change Remove by passkey {}")),
        ("change=remove-passkey:AB&code=1", "https://login.example.com", Some("change RemovePasskey(\"AB\") 1")),
        ("change=remove&code=1&assertion=%7B%7D", "https://login.example.com", None),
        ("change=remove&code=&assertion=", "https://login.example.com", None),
        ("change=add-app&app-code=123456&code=1", "https://login.example.com", Some("AddApp")),
        ("change=add-app&code=1", "https://login.example.com", None),
        ("change=add-app&app-code=123456", "https://login.example.com", None),
        ("change=add-passkey&code=1&attestation=", "https://login.example.com", None),
        ("change=add-passkey&code=1&attestation=x", "https://login.example.com", Some("AddPasskey")),
    ] {
        let harness = Harness::new();
        post(&harness, "/second-factor", body, &[("origin", origin)]).await;
        let asked = harness.script.asked.lock().unwrap().clone();
        match heard {
            Some(heard) => assert!(asked.iter().any(|asked| asked.contains(heard)), "{body}: {asked:?}"),
            None => assert!(asked.is_empty(), "{body} {origin}: {asked:?}"),
        }
    }
    // Another site's page neither shows one's own nor a login's in a frame or a picture.
    let harness = Harness::new();
    let read = harness
        .send(
            Request::get("/second-factor")
                .header("host", "login.example.com")
                .header("sec-fetch-site", "cross-site")
                .header("sec-fetch-mode", "no-cors")
                .header("sec-fetch-dest", "image"),
            "",
        )
        .await;
    assert_eq!(read.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_page_runs_one_script_of_our_own_and_nothing_inline() {
    let page = || Step::SecondFactor {
        login: "l1".into(),
        application: "wiki".into(),
        is_set_up: true,
        enrolment: None,
        passkeys: Options { request: Some("{\"challenge\":\"x\"}".into()), creation: None },
        is_passkey_wanted: false,
        error: None,
    };
    let read = Harness::stepping(page).visit("/login/wiki/second-factor?login=l1").await;
    assert_eq!(read.body.matches("<script").count(), 1, "{}", read.body);
    assert!(read.body.contains("src=\"/second-factor/passkeys.js\" defer></script>"), "{}", read.body);
    assert!(read.body.contains("data-request=\"{&quot;challenge&quot;"), "{}", read.body);
    // It works without: the field for a code is not hidden, and what needs the script is.
    assert!(read.body.contains("name=\"code\"") && read.body.contains("<div data-passkeys hidden>"), "{}", read.body);
    let script =
        Harness::new().send(Request::get("/second-factor/passkeys.js").header("host", "login.example.com"), "").await;
    assert_eq!(script.status, StatusCode::OK);
    assert!(script.body.contains("navigator.credentials"), "{}", script.body);
}
