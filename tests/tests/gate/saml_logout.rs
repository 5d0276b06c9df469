//! Single logout with a service provider whose metadata wants forms, and answers at an address of their own: pysaml2,
//! with a session by a cookie.

use serde_json::json;
use vestibule_tests::browser::{Browser, Page};

use crate::saml::Federation;

/// pysaml2 that takes logout messages by HTTP-POST, and answers at `ResponseLocation`.
async fn by_forms() -> Federation {
    let federation = Federation::start_of(&json!({ "kind": "pysaml2", "slo": "post" }), "").await;
    // What the import made of the metadata.
    let (code, told, errors) = federation.gateway.run(&["saml", "import", "--app", "guard", "sp.xml", "--json"]);
    assert_eq!(code, 0, "{errors}");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let table = told["toml"].as_str().expect("a table");
    for line in [
        format!("logout-url = \"{}\"", federation.url("/slo")),
        format!("logout-response-url = \"{}\"", federation.url("/slo-answer")),
        "logout-binding = \"post\"".to_owned(),
    ] {
        assert!(table.lines().any(|known| known == line), "{line}\n{table}");
    }
    federation
}

/// Sends the form that brings a logout message, as the page's script does.
async fn bring(browser: &mut Browser, page: &Page, parameter: &str) -> Page {
    let mut forms = page.forms().into_iter();
    let form = forms.find(|form| form.fields.iter().any(|(name, _)| name == parameter));
    let form = form.unwrap_or_else(|| panic!("no {parameter} at {}: {}", page.url, page.body));
    browser.submit(&form).await
}

/// The upstream's own page asks; yes.
async fn confirm(federation: &Federation, browser: &mut Browser, page: Page) -> Page {
    match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&federation.op.issuer)) {
        Some(form) => browser.submit(&form.with("logout", "yes")).await,
        None => page,
    }
}

async fn name_id(federation: &Federation, browser: &mut Browser) -> serde_json::Value {
    browser.peek(&federation.url("/me")).await.json()["name_id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_gateway_is_asked_of_a_service_provider_by_a_form() {
    let federation = by_forms().await;
    let (mut browser, mut elsewhere) = (Browser::new(), Browser::new());
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    assert_eq!(federation.log_in(&mut elsewhere, "bob").await["authenticated"], true);
    assert_eq!(name_id(&federation, &mut browser).await, "alice@example.test");
    let page = browser.get(&format!("{}/logout", federation.gateway.url())).await;
    assert!(page.url.path() == "/logout/round" && page.body.contains("Guard"), "{} {}", page.url, page.body);
    // There, and back with the answer.
    let page = bring(&mut browser, &page, "SAMLRequest").await;
    assert!(page.url.as_str() == federation.url("/slo"), "{}", page.url);
    let page = bring(&mut browser, &page, "SAMLResponse").await;
    let page = confirm(&federation, &mut browser, page).await;
    assert!(page.body.contains("<h1>You are logged out</h1>") && !page.body.contains("confirmed"), "{}", page.body);
    assert_eq!(name_id(&federation, &mut browser).await, json!(null));
    assert_eq!(name_id(&federation, &mut elsewhere).await, "bob@example.test");
    let sent = federation.gateway.events("logout.sent");
    assert_eq!((sent.len(), &sent[0]["input"]["method"]), (1, &json!("saml-logout")), "{}", federation.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_session_is_another_one_by_now_says_no_and_is_named() {
    let federation = by_forms().await;
    let mut browser = Browser::new();
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    // The cookie of the session there is gone: pysaml2 has nothing to end, and refuses.
    browser.jar.retain(|(name, ..), _| !name.starts_with("sp-"));
    let page = browser.get(&format!("{}/logout", federation.gateway.url())).await;
    let page = bring(&mut browser, &page, "SAMLRequest").await;
    let page = bring(&mut browser, &page, "SAMLResponse").await;
    let page = confirm(&federation, &mut browser, page).await;
    assert!(
        page.body.contains(">Guard</a></li>") && page.body.contains("logged out here"),
        "{} {}",
        page.url,
        page.body
    );
    let given_up = federation.gateway.events("logout.given-up");
    assert_eq!((given_up.len(), &given_up[0]["outcome"]["failed"]), (1, &json!("logout-refused")), "{given_up:?}");
    // Ours has ended all the same.
    let page = browser.get(&federation.url("/login")).await;
    assert!(page.url.as_str().starts_with(&federation.op.issuer), "still logged in: {}", page.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_service_providers_own_logout_goes_to_the_address_for_answers() {
    let federation = by_forms().await;
    let mut browser = Browser::new();
    assert_eq!(federation.log_in(&mut browser, "alice").await["authenticated"], true);
    let page = browser.get(&federation.url("/logout?binding=post")).await;
    let mut page = bring(&mut browser, &page, "SAMLRequest").await;
    // pysaml2 names no session: then the person is asked. oidc-provider asks, too.
    for site in [federation.gateway.url(), federation.op.issuer.clone()] {
        if let Some(form) = page.forms().into_iter().find(|form| form.action.as_str().starts_with(&site)) {
            page = browser.submit(&form.with("logout", "yes")).await;
        }
    }
    let page = bring(&mut browser, &page, "SAMLResponse").await;
    assert_eq!(page.url.as_str(), federation.url("/slo-answer"));
    assert_eq!(page.json()["logged_out"], true, "{}", page.body);
    assert!(federation.gateway.events("logout.asked").is_empty(), "whoever began is not asked");
    assert_eq!(federation.gateway.events("session.ended").len(), 1);
}
