//! The walkthroughs of the documentation, as far as they can be walked without somebody else's
//! cloud: the configuration as it stands there is accepted, and with a provider that runs here
//! in the cloud's place it does what the page says.

use std::process::Command;

use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    peers::{Application, OpenIdProvider, RelyingParty, ServiceProvider, port},
    process::{root, vestibule},
};

const SECRET: &str = "a-secret-of-the-test-which-is-long";

fn text(page: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(page)).expect("the documentation")
}

/// A gateway with the files of a page, which pass the check as they stand there; the configuration.
fn as_it_stands(page: &str, count: usize, secret: &str) -> (Gateway, String) {
    let gateway = Gateway::new();
    assert_eq!(gateway.run(&["keys", "certificate", "add", "--directory", "keys"]).0, 0);
    let files = files(page);
    assert_eq!(files.len(), count, "{files:?}");
    std::fs::create_dir(gateway.path("secrets")).expect("a folder");
    gateway.write(secret, &format!("{SECRET}\n"));
    for (name, text) in &files {
        gateway.write(name, text);
    }
    let (code, told, errors) = gateway.run(&["check", "--json"]);
    assert_eq!(code, 0, "{told}{errors}");
    let configuration = std::fs::read_to_string(gateway.path("vestibule.toml")).expect("a file");
    (gateway, configuration)
}

/// The tables of a configuration from the first upstream on, with a provider that runs here in the place of the preset.
fn with_a_provider_here(configuration: &str, upstream: &str, preset: &str) -> String {
    let (_, rest) = configuration.split_once(&format!("[upstreams.{upstream}]\n")).expect("the upstream");
    let keys = Regex::new("(?m)^(tenant|host|organization) = .*\n").expect("a pattern");
    // In the upstream's own table only.
    let (own, others) = rest.split_once("\n[").expect("another table");
    let own = keys.replace_all(own, "");
    assert!(own.contains(&format!("preset = \"{preset}\"\n")), "{own}");
    format!("[upstreams.{upstream}]\n{own}\n[{others}")
}

/// A provider for the client that the page registers, and these people.
fn provider(gateway: &Gateway, client: &str, upstream: &str, people: &Value) -> OpenIdProvider {
    let clients = json!([{
        "client_id": client, "client_secret": SECRET,
        "redirect_uris": [format!("{}/callback/{upstream}", gateway.url())],
        "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
    }]);
    OpenIdProvider::start(&clients, people)
}

/// Types a name at the provider, after a way on which nobody saw a page of ours.
async fn sign_in(gateway: &Gateway, op: &OpenIdProvider, browser: &mut Browser, page: Page, name: &str) -> Page {
    assert!(page.url.as_str().starts_with(&op.issuer), "{} {}\n{}", page.url, page.body, gateway.log());
    assert!(browser.trail.iter().all(|page| page.status.is_redirection()), "{:?}", browser.trail);
    let form = page.forms().into_iter().next().expect("a form");
    browser.submit(&form.with("login", name).with("password", "any")).await
}

/// The files of a page: each block begins with its name.
fn files(page: &str) -> Vec<(String, String)> {
    let text = text(page);
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

#[tokio::test(flavor = "multi_thread")]
async fn entra_to_guard() {
    let (mut gateway, configuration) = as_it_stands("entra-guard.md", 3, "secrets/entra");
    let (code, shown, errors) = gateway.run(&["saml", "show", "--app", "guard"]);
    assert_eq!(code, 0, "{errors}");
    // What the page shows is what is printed.
    let page = text("entra-guard.md");
    for line in page.lines().filter(|line| line.starts_with("IDP ") && line.contains("https://")) {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(shown.contains("IDP public X.509 certificate (in use), SHA-256 ") && shown.contains("-----BEGIN CERT"));
    assert_eq!(gateway.run(&["saml", "show", "--app", "nobody"]).0, 1);

    // With a provider and a service provider that run here.
    let person = |name: &str, domain: &str, verified: bool| {
        json!({
            "email": format!("{name}@{domain}"), "xms_edov": verified, "name": name, "given_name": name,
            "family_name": "Acme", "preferred_username": name,
        })
    };
    let mut nameless = person("nameless", "acme.com", true);
    nameless.as_object_mut().expect("a person").remove("family_name");
    let people = json!({
        "ann": person("ann", "acme.com", true), "nameless": nameless,
        "liar": person("liar", "acme.com", false), "stranger": person("stranger", "acme.de", true), "foreigner": person("foreigner", "evil.test", true),
    });
    let op = provider(&gateway, "00001111-aaaa-2222-bbbb-3333cccc4444", "entra", &people);
    let folder = TempDir::new().expect("a folder");
    let idp = format!("{}/saml/guard/metadata", gateway.url());
    let guard = ServiceProvider::start(folder.path(), &json!({ "kind": "node-saml", "idp": idp }));
    let here = format!("issuer = \"{}\"\nemail-verified-claim = \"xms_edov\"\n", op.issuer);
    let configuration = with_a_provider_here(&configuration, "entra", "entra")
        .replace("preset = \"entra\"\n", &here)
        .replace("https://auth.atlassian.com/saml/later", &format!("{}/metadata", guard.base))
        .replace("https://auth.atlassian.com/login/callback?connection=saml-later", &format!("{}/acs", guard.base));
    // And with a second domain of the provider's.
    let configuration = configuration.replacen("domains = [\"acme.com\"]", "domains = [\"acme.com\", \"acme.de\"]", 1);
    // This service provider signs its requests, which Guard does not.
    std::fs::copy(folder.path().join("sp.crt"), gateway.path("sp.crt")).expect("a certificate");
    let signs = "[applications.guard.saml]\nsp-certificates = [{ file = \"sp.crt\" }]\n";
    gateway.configure(&configuration.replace("[applications.guard.saml]\n", signs));
    gateway.start();

    let ask = async |browser: &mut Browser, name: &str| {
        let page = browser.get(&format!("{}/login?relay=board", guard.base)).await;
        sign_in(&gateway, &op, browser, page, name).await
    };
    let bring = async |browser: &mut Browser, page: &Page| {
        let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("{} {}", page.url, page.body));
        browser.submit(&form).await.json()
    };
    let mut ann = Browser::new();
    let page = ask(&mut ann, "ann").await;
    let told = bring(&mut ann, &page).await;
    assert_eq!((&told["authenticated"], &told["name_id"]), (&json!(true), &json!("ann@acme.com")), "{told}");
    assert_eq!(told["relay_state"], "board");
    for (name, value) in [("givenname", "ann"), ("surname", "Acme"), ("emailaddress", "ann@acme.com")] {
        let claim = format!("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/{name}");
        assert!(text("entra-guard.md").contains(&format!("{name}`")), "{claim} is not on the page");
        assert_eq!(told["attributes"][&claim], json!([value]), "{told}");
    }
    let name = &told["attributes"]["http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"][0];
    assert!(name.as_str().is_some_and(|name| !name.contains('@') && name.len() == 43), "{told}");
    // Each with the reason that the page's table names.
    for (name, reason) in [
        ("stranger", "domain-not-allowed"),
        ("foreigner", "domain-not-authoritative"),
        ("liar", "email-not-verified"),
        ("nameless", "missing-claim"),
    ] {
        let mut browser = Browser::new();
        let page = ask(&mut browser, name).await;
        let told = bring(&mut browser, &page).await;
        assert_eq!(told["authenticated"], false, "{name}: {told}");
        let denied = gateway.events("decision.login");
        let last = denied.last().expect("a decision");
        assert!(last["granted"] == false && last.to_string().contains(reason), "{name}: {reason}: {last}");
        assert!(text("entra-guard.md").contains(reason), "{reason} is not on the page");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clavex_to_jira_and_confluence() {
    let (mut gateway, configuration) = as_it_stands("clavex-jira.md", 4, "secrets/clavex");
    let person = |name: &str, groups: &[&str]| {
        json!({
            "email": format!("{name}@acme.eu"), "email_verified": true, "preferred_username": name, "name": name,
            "given_name": name, "family_name": "Acme", "groups": groups,
        })
    };
    let people = json!({
        "ann": person("ann", &["jira-software-users", "confluence-users", "jira-administrators", "Jira-Software-Users"]),
        "stranger": { "email": "s@evil.test", "email_verified": true, "preferred_username": "s", "groups": [] },
    });
    let op = provider(&gateway, "vestibule", "clavex", &people);
    let made = Command::new(vestibule()).args(["tokens", "generate", "--json"]).output().expect("a program");
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    let zeros = format!("sha256:{}", "0".repeat(64));
    assert!(configuration.contains(&zeros));
    let here = format!("issuer = \"{}\"\nscopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n", op.issuer);
    let configuration = with_a_provider_here(&configuration, "clavex", "clavex")
        .replace("preset = \"clavex\"\n", &here)
        .replace(&zeros, made["hash"].as_str().expect("a hash"));
    gateway.configure(&format!("{configuration}\n[session]\nstate-file = \"sessions\"\n"));
    gateway.start();

    // The page's call, with the addresses of two products that run here.
    let page = text("clavex-jira.md");
    let call = Regex::new(r"(?s)\$ (curl -X POST .*?\}')\n```").expect("a pattern");
    let call = call.captures(&page).expect("the call")[1].to_owned();
    let ports = [port(), port()];
    let own = ports.map(|port| format!("http://127.0.0.1:{port}"));
    let call = call
        .replace("https://id.acme.eu", &gateway.url())
        .replace("https://jira.acme.eu/plugins/servlet/oidc/callback", &format!("{}/cb", own[0]))
        .replace("https://confluence.acme.eu/plugins/servlet/oidc/callback", &format!("{}/cb", own[1]));
    let token = made["token"].as_str().expect("a token");
    let done = Command::new("sh").args(["-c", &call]).env("ADMIN_TOKEN", token).output().expect("a shell");
    let registered: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let secret = registered["client_secret"].as_str().unwrap_or_else(|| panic!("{registered}"));

    let issuer = format!("{}/acme", gateway.url());
    let [jira, confluence] = ports.map(|port| {
        let settings = json!({
            "issuer": issuer, "client_id": "atlassian", "client_secret": secret, "keep": true,
            "scope": "openid profile email groups",
        });
        RelyingParty::start(port, settings)
    });
    let mut ann = Browser::new();
    let page = ann.get(&format!("{}/login", jira.url)).await;
    let told = sign_in(&gateway, &op, &mut ann, page, "ann").await.json();
    assert_eq!((&told["claims"]["iss"], &told["claims"]["aud"]), (&json!(issuer), &json!("atlassian")), "{told}");
    for (claim, value) in
        [("preferred_username", "ann"), ("email", "ann@acme.eu"), ("given_name", "ann"), ("family_name", "Acme")]
    {
        assert_eq!(told["claims"][claim], value, "{told}");
        assert!(text("clavex-jira.md").contains(&format!("`{claim}`")), "{claim} is not on the page");
    }
    // By the same name, exactly; and what is protected is nobody's to grant.
    assert_eq!(told["claims"]["groups"], json!(["confluence-users", "jira-software-users"]));
    assert!(told["refresh_token"].is_string(), "{told}");
    // The other product asks nobody.
    let page = ann.get(&format!("{}/login", confluence.url)).await;
    assert_eq!((page.status.as_u16(), &page.json()["claims"]["sub"]), (200, &told["claims"]["sub"]), "{}", page.body);
    let mut stranger = Browser::new();
    let page = stranger.get(&format!("{}/login", jira.url)).await;
    let page = sign_in(&gateway, &op, &mut stranger, page, "stranger").await;
    assert!(page.url.as_str().contains("error=access_denied"), "{}", page.url);

    // What Jira's own single sign-on is given.
    let (code, printed, errors) = gateway.run(&["snippet", "jira-dc", "--client", "atlassian"]);
    assert_eq!(code, 0, "{errors}");
    let properties = text("clavex-jira.md");
    let (_, properties) = properties.split_once("```properties\n").expect("properties");
    for line in properties.lines().take_while(|line| *line != "```") {
        let line = line.replace("https://id.acme.eu", &gateway.url());
        assert!(printed.contains(&line), "{line}: {printed}");
    }
}
