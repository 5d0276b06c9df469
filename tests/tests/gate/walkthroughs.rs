//! The walkthroughs of the documentation, as far as they can be walked without somebody else's
//! cloud: the configuration as it stands there is accepted, and with a provider that runs here
//! in the cloud's place it does what the page says.

use regex::Regex;
use serde_json::json;
use vestibule_tests::{
    browser::Browser,
    gateway::Gateway,
    peers::{Application, OpenIdProvider},
    process::root,
};

/// The files of a page: each block begins with its name.
fn files(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("docs").join(page)).expect("the documentation");
    let block = Regex::new(r"(?s)```toml\n# (\S+\.toml)\n(.*?)```").expect("a pattern");
    block.captures_iter(&text).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cognito_to_jira() {
    let mut gateway = Gateway::new();
    let files = files("cognito-jira.md");
    assert_eq!(files.len(), 9, "{files:?}");
    for (name, text) in &files {
        gateway.write(name, text);
    }
    // As it stands there.
    let configuration = std::fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
    for secret in ["COGNITO_SECRET", "JIRA_SECRET"] {
        gateway.write(secret, "a-secret-of-the-test-which-is-long");
    }
    let from_files =
        Regex::new(r#"\{ env = "(\w+)" \}"#).expect("a pattern").replace_all(&configuration, "{ file = \"$1\" }");
    gateway.write("vestibule.toml", &from_files);
    let (code, told, errors) = gateway.run(&["check", "--json"]);
    assert_eq!(code, 0, "{told}{errors}");

    // With a provider that runs here.
    let jira = Application::start().await;
    let site = format!("http://localhost:{}", gateway.port);
    let person = |name: &str, groups: &[&str]| {
        json!({
            "email": format!("{name}@acme.com"), "email_verified": true, "cognito:groups": groups, "department": "it",
        })
    };
    let op = OpenIdProvider::start(
        &json!([{
            "client_id": "abcdefghijklmnopqrstuvwxyz", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": [format!("{}/callback/cognito", gateway.url())],
            "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
        }]),
        &json!({
            "dev": person("dev", &["dev", "jira-reporters", "jira-administrators", "unrelated"]),
            "operator": person("operator", &["jira-operators"]),
            "stranger": { "email": "s@evil.test", "email_verified": true, "cognito:groups": ["dev"] },
        }),
    );
    let (_, rest) = from_files.split_once("[upstreams.cognito]\n").expect("the upstream");
    let preset = Regex::new(r#"preset = "cognito"\n"#).expect("a pattern");
    // The preset's logout, as the page has it.
    let page = std::fs::read_to_string(root().join("docs/cognito-jira.md")).expect("the documentation");
    let logout = Regex::new(r"`https://DOMAIN(/logout\?[^`]*)`").expect("a pattern");
    let logout = &logout.captures(&page).expect("how to log out at Cognito")[1];
    let here = format!(
        "issuer = \"{issuer}\"\ngroups-claim = \"cognito:groups\"\nlogout-url = \"{issuer}{logout}\"\n",
        issuer = op.issuer
    );
    let upstream = preset.replace(rest, here.as_str());
    let upstream = Regex::new("(?m)^(domain|region|pool) = .*\n").expect("a pattern").replace_all(&upstream, "");
    let upstream = upstream
        .replace("client-id = \"abc", "scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\nclient-id = \"abc")
        .replace("https://jira.acme.com", &site)
        .replace("127.0.0.1:8090", &format!("127.0.0.1:{}", jira.port));
    gateway.configure(&format!("[upstreams.cognito]\n{upstream}"));
    gateway.start();

    let log_in = async |browser: &mut Browser, name: &str, path: &str| {
        let page = browser.get(&format!("{site}{path}")).await;
        assert!(
            page.url.as_str().starts_with(&op.issuer),
            "{} {} {}\n{}",
            page.status,
            page.url,
            page.body,
            gateway.log()
        );
        let form = page.forms().into_iter().next().expect("a form");
        browser.submit(&form.with("login", name).with("password", "any")).await
    };
    let mut dev = Browser::new();
    let page = log_in(&mut dev, "dev", "/browse/KEY-1").await;
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, gateway.log());
    let told = page.json();
    assert_eq!(told["headers"]["x-forwarded-user"], json!(["dev@acme.com"]));
    // By its row, and under its own name; what is excluded or does not fit is not among them.
    assert_eq!(told["headers"]["x-forwarded-groups"], json!(["jira-reporters,jira-software-users"]));
    for (path, status) in [
        ("/secure/ChangePassword.jspa", 403),
        ("/secure/ChangePassword!default.jspa", 403),
        ("/rest/plugins/1.0/", 403),
        ("/rest/api/2/myself", 200),
    ] {
        assert_eq!(dev.peek(&format!("{site}{path}")).await.status.as_u16(), status, "{path}");
    }
    // An administrative page asks the provider for a login that is new enough.
    let fresh = dev.get(&format!("{site}/secure/admin/ViewSystemInfo.jspa")).await;
    assert_eq!(fresh.status, 200, "{} {}", fresh.url, fresh.body);
    assert!(dev.trail.iter().any(|page| page.url.query().is_some_and(|query| query.contains("max_age=600"))));
    let mut operator = Browser::new();
    assert_eq!(log_in(&mut operator, "operator", "/rest/plugins/1.0/").await.status, 200);
    // A customer of the service desk meets no login, and is nobody.
    let customer = Browser::new().get(&format!("{site}/servicedesk/customer/portal/1")).await;
    assert_eq!((customer.status.as_u16(), customer.json()["headers"].get("x-forwarded-user")), (200, None));
    let agent = Browser::new().get(&format!("{site}/servicedesk/agent/queues")).await;
    assert!(agent.url.as_str().starts_with(&op.issuer), "{}", agent.url);
    let stranger = log_in(&mut Browser::new(), "stranger", "/").await;
    assert_eq!((stranger.status.as_u16(), stranger.header("x-vestibule-reason")), (403, "domain-not-allowed"));

    // Jira's own single sign-on finds the person logged in, and learns the groups.
    let query = "client_id=jira&response_type=code&scope=openid%20profile%20email%20groups&state=s&nonce=n\
                 &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    let callback = url::form_urlencoded::byte_serialize(format!("{site}/plugins/servlet/oidc/callback").as_bytes())
        .collect::<String>();
    dev.get(&format!("{}/oidc/authorize?{query}&redirect_uri={callback}", gateway.url())).await;
    let back = dev.trail.iter().find_map(|page| page.location().filter(|url| url.path().ends_with("/oidc/callback")));
    let back = back.unwrap_or_else(|| panic!("no code came back:\n{}", gateway.log()));
    assert!(back.query_pairs().any(|(name, _)| name == "code"), "{back}");

    // Out: here, at Cognito, which brings no `state` back, and on to where it was to end.
    let end = format!("{site}/servicedesk/customer/portal/1");
    let ended = gateway.events("session.ended").len();
    let rd = url::form_urlencoded::byte_serialize(end.as_bytes()).collect::<String>();
    let page = dev.get(&format!("{site}/vestibule/logout/jira-pages?rd={rd}")).await;
    assert_eq!((page.url.as_str(), page.status.as_u16()), (end.as_str(), 200), "{}\n{}", page.body, gateway.log());
    let way: Vec<&str> = dev.trail.iter().map(|page| page.url.as_str()).collect();
    let sign_out = format!("{}/logged-out", gateway.url());
    let logout_uri = url::form_urlencoded::byte_serialize(sign_out.as_bytes()).collect::<String>();
    let at_cognito = format!("{}/logout?client_id=abcdefghijklmnopqrstuvwxyz&logout_uri={logout_uri}", op.issuer);
    assert!(way.windows(2).any(|pair| pair == [at_cognito.as_str(), sign_out.as_str()]), "{way:#?}");
    assert_eq!(gateway.events("session.ended").len() - ended, 2, "Jira's pages, and the gateway's own");
    // Nobody is logged in any more, here or there.
    let page = dev.get(&format!("{site}/browse/KEY-1")).await;
    assert!(page.url.as_str().starts_with(&op.issuer) && !page.forms().is_empty(), "{} {}", page.url, page.body);
    // An end that is on no list is none: the person sees the gateway's own page.
    let mut operator = Browser::new();
    assert_eq!(log_in(&mut operator, "operator", "/rest/plugins/1.0/").await.status, 200);
    let page = operator.get(&format!("{site}/vestibule/logout/jira-pages?rd=https%3A%2F%2Fevil.test%2F")).await;
    assert!(page.url.as_str() == sign_out && page.body.contains("You are logged out"), "{} {}", page.url, page.body);
}
