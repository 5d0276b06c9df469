//! SimpleSAMLphp as the service provider: a login, and a logout from either side.

use serde_json::json;
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    peers::OpenIdProvider,
    simplesamlphp::SimpleSamlPhp,
};

use crate::scene::{CHAIN, people, policies, settings};

struct Federation {
    gateway: Gateway,
    op: OpenIdProvider,
    provider: SimpleSamlPhp,
}

impl Federation {
    fn start_with(provider: SimpleSamlPhp, mut gateway: Gateway, metadata: &str) -> Self {
        let op = OpenIdProvider::start(
            &json!([{
                "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
                "redirect_uris": [format!("{}/callback/op", gateway.url())],
                "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
            }]),
            &people(),
        );
        gateway.write("sp.xml", metadata);
        let (code, table, errors) = gateway.run(&["saml", "import", "--app", "php", "sp.xml"]);
        assert_eq!(code, 0, "{errors}{metadata}\n{}", provider.log());
        settings(&gateway);
        gateway.configure(&format!(
            "{policies}\
             [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
             scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
             [applications.php]\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n{table}",
            policies = policies(&CHAIN),
            issuer = op.issuer,
            site = provider.site,
        ));
        gateway.start();
        Self { gateway, op, provider }
    }

    async fn start() -> Self {
        let gateway = Gateway::new();
        assert_eq!(gateway.run(&["keys", "certificate", "add", "--directory", "keys"]).0, 0);
        let entity_id = format!("{}/saml/php/metadata", gateway.url());
        let provider = SimpleSamlPhp::start(&entity_id);
        provider.learn("<none/>");
        let metadata = Browser::new().get(&provider.metadata()).await.body;
        let federation = Self::start_with(provider, gateway, &metadata);
        federation.provider.learn(&Browser::new().get(&entity_id).await.body);
        federation
    }

    async fn log_in(&self, browser: &mut Browser, name: &str) -> Page {
        let page = browser.get(&format!("{}/", self.provider.site)).await;
        assert!(page.url.as_str().starts_with(&self.op.issuer), "{} {}\n{}", page.url, page.body, self.provider.log());
        let form = page.forms().into_iter().next().expect("a form");
        let page = browser.submit(&form.with("login", name).with("password", "any")).await;
        let mut forms = page.forms().into_iter();
        let form = forms.find(|form| form.fields.iter().any(|(name, _)| name == "SAMLResponse"));
        let form = form.unwrap_or_else(|| panic!("no response at {}: {}\n{}", page.url, page.body, self.gateway.log()));
        browser.submit(&form).await
    }

    /// The upstream's own page asks; yes.
    async fn confirm(&self, browser: &mut Browser, page: Page) -> Page {
        match page.forms().into_iter().find(|form| form.action.as_str().starts_with(&self.op.issuer)) {
            Some(form) => browser.submit(&form.with("logout", "yes")).await,
            None => page,
        }
    }

    async fn me(&self, browser: &mut Browser) -> serde_json::Value {
        browser.get(&format!("{}/me", self.provider.site)).await.json()["name_id"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_reaches_simplesamlphp_and_a_logout_there_ends_it_everywhere() {
    let federation = Federation::start().await;
    let mut browser = Browser::new();
    let page = federation.log_in(&mut browser, "alice").await;
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, federation.provider.log());
    let told = page.json();
    assert_eq!((&told["path"], &told["name_id"]), (&json!("/"), &json!("alice@example.test")), "{told}");
    assert_eq!(told["attributes"]["groups"], json!(["jira-software-users"]));
    assert_eq!(told["attributes"]["department"], json!(["it"]));
    // Whoever is refused is told so there.
    let refused = federation.log_in(&mut Browser::new(), "mallory").await;
    assert!(refused.body.contains("domain-not-allowed"), "{} {}", refused.status, refused.body);

    let page = browser.get(&format!("{}/logout", federation.provider.site)).await;
    let page = federation.confirm(&mut browser, page).await;
    assert_eq!(
        page.url.as_str(),
        format!("{}/out", federation.provider.site),
        "{}\n{}",
        page.body,
        federation.provider.log()
    );
    assert_eq!(page.json()["name_id"], json!(null));
    assert!(federation.gateway.events("logout.asked").is_empty(), "whoever began is not asked");
    assert_eq!(federation.gateway.events("session.ended").len(), 1);
    let page = browser.get(&format!("{}/", federation.provider.site)).await;
    assert!(page.url.as_str().starts_with(&federation.op.issuer), "still logged in: {}", page.url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_at_the_gateway_is_asked_of_simplesamlphp() {
    let federation = Federation::start().await;
    let (mut browser, mut elsewhere) = (Browser::new(), Browser::new());
    federation.log_in(&mut browser, "alice").await;
    federation.log_in(&mut elsewhere, "bob").await;
    assert_eq!(federation.me(&mut browser).await, "alice@example.test");
    let page = browser.get(&format!("{}/logout", federation.gateway.url())).await;
    let link = page.body.split("id=\"go\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
    let link = link.unwrap_or_else(|| panic!("nobody is told at {}: {}", page.url, page.body));
    let page = browser.get(&link.replace("&#x2f;", "/").replace("&amp;", "&")).await;
    let page = federation.confirm(&mut browser, page).await;
    assert!(
        page.body.contains("<h1>You are logged out</h1>"),
        "{} {}\n{}",
        page.url,
        page.body,
        federation.provider.log()
    );
    let sent = federation.gateway.events("logout.sent");
    assert_eq!((sent.len(), &sent[0]["input"]["method"]), (1, &json!("saml-logout")), "{}", federation.gateway.log());
    assert_eq!(federation.me(&mut browser).await, json!(null));
    assert_eq!(federation.me(&mut elsewhere).await, "bob@example.test");
}
