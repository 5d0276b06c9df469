//! Apache with mod_auth_openidc as a relying party: in C, on libcjose, and with its own idea of a logout.

use vestibule_tests::{
    apache::{Apache, MODULES, program},
    browser::Browser,
    gateway::Gateway,
    peers::OpenIdProvider,
};

use crate::scene::{CHAIN, people, policies, settings};

const SECRET: &str = "a-secret-of-a-relying-party-which-is-long";

fn module(issuer: &str, site: &str) -> String {
    let so = program(&format!("{MODULES}/mod_auth_openidc.so"));
    format!(
        "LoadModule auth_openidc_module {so}\n\
         OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\nOIDCClientID apache\n\
         OIDCClientSecret {SECRET}\nOIDCRedirectURI {site}/openid/cb\nOIDCCryptoPassphrase any-long-passphrase\n\
         OIDCScope \"openid profile email groups\"\nOIDCPKCEMethod S256\nOIDCRemoteUserClaim preferred_username\n\
         <LocationMatch \"^/(index.html|openid/.*)?$\">\nAuthType openid-connect\nRequire valid-user\n\
         Header always set X-User \"expr=%{{REMOTE_USER}}\"\n\
         Header always set X-Groups \"%{{OIDC_CLAIM_groups}}e\"\n</LocationMatch>\n",
        so = so.display(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_reaches_mod_auth_openidc_and_a_logout_ends_it_wherever_it_begins() {
    let mut gateway = Gateway::new();
    let op = OpenIdProvider::start(
        &serde_json::json!([{
            "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": [format!("{}/callback/op", gateway.url())],
            "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
        }]),
        &people(),
    );
    settings(&gateway);
    // In an organization of its own.
    let apache = Apache::start(|_, _, site| module(&format!("{}/acme", gateway.url()), site));
    gateway.configure(&format!(
        "{policies}\
         [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
         [applications.apache]\ntenant = \"acme\"\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
         [applications.apache.oidc]\nclient-secret = \"{SECRET}\"\nredirect-uris = [\"{site}/openid/cb\"]\n\
         post-logout-redirect-uris = [\"{site}/out.html\"]\nbackchannel-logout-uri = \"{site}/openid/cb?logout=backchannel\"\n",
        policies = policies(&CHAIN),
        issuer = op.issuer,
        site = apache.site,
    ));
    gateway.start();

    let page = format!("{}/", apache.site);
    for begins_there in [false, true] {
        let mut browser = Browser::new();
        let shown = browser.get(&page).await;
        assert!(shown.url.as_str().starts_with(&op.issuer), "{} {}\n{}", shown.url, shown.body, apache.log());
        let form = shown.forms().into_iter().next().expect("a form");
        let shown = browser.submit(&form.with("login", "alice").with("password", "any")).await;
        assert_eq!(
            (shown.status.as_u16(), shown.body.as_str()),
            (200, "the page\n"),
            "{}\n{}",
            shown.url,
            apache.log()
        );
        assert_eq!(shown.header("x-user"), "alice");
        assert!(shown.header("x-groups").split(',').any(|group| group == "jira-software-users"), "{shown:?}");

        let ended = gateway.events("session.ended").len();
        let out = if begins_there {
            format!("{}/openid/cb?logout={}", apache.site, encoded(&format!("{}/out.html", apache.site)))
        } else {
            format!("{}/logout", gateway.url())
        };
        let mut shown = browser.get(&out).await;
        if let Some(form) = shown.forms().into_iter().find(|form| form.action.as_str().starts_with(&op.issuer)) {
            shown = browser.submit(&form.with("logout", "yes")).await;
        }
        if begins_there {
            assert_eq!(shown.body, "out\n", "{} {}\n{}\n{}", shown.url, shown.body, apache.log(), gateway.log());
        }
        assert_eq!(gateway.events("session.ended").len(), ended + 1);
        // Over the back channel where it began with us; and whoever comes again logs in.
        if !begins_there {
            gateway.wait_for("that Apache was told", |event| event["kind"] == "logout.sent").await;
        }
        let shown = browser.get(&page).await;
        assert!(shown.url.as_str().starts_with(&op.issuer), "still logged in: {}\n{}", shown.url, apache.log());
    }
}

fn encoded(text: &str) -> String {
    text.replace(':', "%3A").replace('/', "%2F")
}
