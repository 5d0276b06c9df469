//! The emergency door, with the program as an operator runs it: it opens when nothing else does.

use std::fs;

use serde_json::{Value, json};
use vestibule::{secret::Secret, upstream::hash_password};
use vestibule_tests::{
    browser::{Browser, Page},
    gateway::Gateway,
    guests,
    peers::{Application, RelyingParty, port},
};

use crate::scene::{CHAIN, Running, With, policies, settings};

const DOOR: &str = "/door-5f1d7e0c9b2a4836";
const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "a-secret-of-a-relying-party-which-is-long";

/// Applications of every kind, local accounts, and a door.
struct House {
    gateway: Gateway,
    /// Behind the built-in reverse proxy.
    direct: String,
    /// The same, with a login page of its own.
    own: String,
    /// Behind nginx.
    behind: String,
    _nginx: Running,
    _application: Application,
    rp: RelyingParty,
}

impl House {
    async fn start() -> Self {
        let application = Application::start().await;
        let mut gateway = Gateway::new();
        let (nginx, rp) = (port(), port());
        let direct = format!("http://localhost:{}", gateway.port);
        let own = format!("http://own.localhost:{}", gateway.port);
        let behind = format!("http://127.0.0.1:{nginx}");
        settings(&gateway);
        gateway.write("settings/redirection-rules.toml", "default = { to = \"local-form\" }\n");
        gateway.write("settings/emergency-access.toml", "groups = [\"emergency\"]\n");
        let hash = hash_password(&Secret::new(PASSWORD.to_owned())).unwrap();
        let account = |name: &str, groups: &str| {
            format!(
                "[accounts.{name}]\npassword = \"{hash}\"\nemail = \"{name}@example.test\"\ndisplay-name = \"{name}\"\ngroups = [{groups}]\n"
            )
        };
        let accounts = account("ada", "\"emergency\", \"jira-administrators\"") + &account("bob", "\"staff\"");
        gateway.write("accounts.toml", &accounts);
        let application_of = |id: &str, url: &str, rest: &str| {
            format!("[applications.{id}]\nurl = \"{url}/\"\nupstreams = [\"here\"]\nchain = {CHAIN:?}\n{rest}\n")
        };
        let proxy =
            |id: &str| format!("[applications.{id}.proxy]\nbackend = \"http://127.0.0.1:{}\"\n", application.port);
        let rp_at = format!("http://127.0.0.1:{rp}");
        let oidc = format!(
            "[applications.rp.oidc]\nredirect-uris = [\"{rp_at}/cb\"]\nclient-secret = \"{SECRET}\"\n\
             post-logout-redirect-uris = [\"{rp_at}/bye\"]\n"
        );
        let own_login = format!("own-login-path = \"/login.jsp\"\n{}", proxy("own"));
        gateway.configure(&format!(
            "{}[accounts]\nfile = \"accounts.toml\"\n[upstreams.here]\nkind = \"local\"\n{}{}{}{}\
             [emergency]\npath = \"{DOOR}\"\ncomponent = \"policies/emergency-access.wasm\"\n\
             settings = \"settings/emergency-access.toml\"\napplications = [\"direct\", \"own\", \"behind\", \"rp\"]\n\
             passwords-per-minute = 100\n[emergency.limits]\ndeadline-ms = 5000\n",
            policies(&CHAIN),
            application_of("direct", &direct, &proxy("direct")),
            application_of("own", &own, &own_login),
            application_of("behind", &behind, "[applications.behind.forward-auth]\n"),
            application_of("rp", &rp_at, &oidc)
                + &application_of("shut", "http://shut.localhost:1", "[applications.shut.forward-auth]\n"),
        ));
        gateway.start();
        let _nginx = Running::start_for("behind", With::Nginx, &gateway, nginx, application.port);
        let settings = json!({
            "issuer": gateway.url(), "client_id": "rp", "client_secret": SECRET, "scope": "openid profile email groups",
        });
        let rp = RelyingParty::start(rp, settings);
        Self { gateway, direct, own, behind, _nginx, _application: application, rp }
    }

    /// Puts a policy in force that traps whenever it is asked.
    async fn break_the_policies(&self) {
        fs::write(self.gateway.path("policies/redirection-rules.wasm"), guests::component("trap")).unwrap();
        self.gateway
            .wait_for("that the trap is in force", |event| {
                event["kind"] == "generation.swapped" && event["outcome"]["generation"] == 2
            })
            .await;
    }

    fn door(&self, application: &str) -> String {
        format!("{}{DOOR}?app={application}", self.gateway.url())
    }

    /// Fills in the door's form.
    async fn knock(&self, browser: &mut Browser, application: &str, username: &str, password: &str) -> Page {
        let page = browser.get(&self.door(application)).await;
        assert_eq!(page.status, 200, "{}\n{}", page.body, self.gateway.log());
        let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
        browser.submit(&form.with("username", username).with("password", password)).await
    }

    /// The door's events, and no others.
    fn alerts(&self) -> Vec<Value> {
        self.gateway.audit().into_iter().filter(|event| event["level"] == "alert").collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a79_the_door_opens_while_the_policy_in_force_traps_on_every_call() {
    let house = House::start().await;
    // On an ordinary day, the ordinary way.
    let page = Browser::new().get(&format!("{}/page", house.direct)).await;
    assert!(page.body.contains("type=\"password\""), "{} {}\n{}", page.status, page.body, house.gateway.log());
    house.break_the_policies().await;
    for site in [&house.direct, &house.behind] {
        let page = Browser::new().get(&format!("{site}/page")).await;
        assert_eq!(page.status, 403, "{site} {}", page.body);
        assert!(page.body.contains("policy-trapped"), "{}", page.body);
    }

    // Behind the built-in reverse proxy, and behind nginx: it is told who that is.
    for (id, site) in [("direct", &house.direct), ("behind", &house.behind)] {
        let mut browser = Browser::new();
        let page = house.knock(&mut browser, id, "ada", PASSWORD).await;
        assert_eq!(
            (page.status.as_u16(), page.url.as_str()),
            (200, format!("{site}/").as_str()),
            "{}\n{}",
            page.body,
            house.gateway.log()
        );
        let told = page.json();
        assert_eq!(told["headers"]["x-forwarded-user"], json!(["ada"]), "{told}");
        assert_eq!(told["headers"]["x-forwarded-groups"], json!(["emergency,jira-administrators"]), "{told}");
        // And so at the next request, administrators' pages included.
        let page = browser.get(&format!("{site}/admin/users")).await;
        assert_eq!((page.status.as_u16(), page.json()["uri"].clone()), (200, json!("/admin/users")), "{}", page.body);
        // No other application opens with it.
        let other = if id == "direct" { &house.behind } else { &house.direct };
        assert_eq!(browser.get(&format!("{other}/")).await.status, 403);
        // A logout ends it.
        browser.get(&format!("{site}/vestibule/logout/{id}")).await;
        assert_eq!(browser.get(&format!("{site}/")).await.status, 403, "{}", house.gateway.log());
    }

    // A relying party: its own login, in the same browser, is the way in.
    let mut browser = Browser::new();
    house.knock(&mut browser, "rp", "ada", PASSWORD).await;
    let page = browser.get(&format!("{}/login", house.rp.url)).await;
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, house.gateway.log());
    let claims = &page.json()["claims"];
    assert_eq!(
        (&claims["preferred_username"], &claims["email"]),
        (&json!("ada"), &json!("ada@example.test")),
        "{claims}"
    );
    // Once: whoever comes again knocks again.
    let page = browser.get(&format!("{}/login", house.rp.url)).await;
    assert!(page.url.as_str().contains("error="), "{} {}", page.url, page.body);

    // An application that asks for a password of its own hears of nobody.
    let mut browser = Browser::new();
    let page = house.knock(&mut browser, "own", "ada", PASSWORD).await;
    assert_eq!(
        (page.status.as_u16(), page.url.as_str()),
        (200, format!("{}/login.jsp", house.own).as_str()),
        "{}",
        page.body
    );
    let headers = &page.json()["headers"];
    let user = &headers["x-forwarded-user"];
    assert!(user.is_null() || *user == json!([""]), "{headers}");

    let audit = house.gateway.path("audit.jsonl");
    let (code, printed, errors) = house.gateway.run(&["--json", "audit", "verify", audit.to_str().unwrap()]);
    assert_eq!(code, 0, "{printed}{errors}");
    let alerts = house.alerts();
    assert!(alerts.iter().all(|event| event["granted"] == true), "{alerts:?}");
    let decided = alerts.iter().filter(|event| event["kind"] == "emergency.decision").count();
    assert_eq!(decided, 8, "twice each: at the door, and where they came in");
    let pinned = &alerts[0]["trace"];
    assert_eq!((&pinned["generation"], &pinned["policies"][0]["name"]), (&json!(0), &json!("emergency")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a78_who_may_not_come_in_does_not_and_nobody_learns_where_the_door_is() {
    let house = House::start().await;
    let page = house.knock(&mut Browser::new(), "direct", "bob", PASSWORD).await;
    assert_eq!(page.status, 403, "{}", page.body);
    assert!(page.body.contains("not-in-emergency-group"), "{}", page.body);
    for (username, password) in [("ada", "wrong"), ("nobody", PASSWORD)] {
        let page = house.knock(&mut Browser::new(), "direct", username, password).await;
        assert_eq!(page.status, 200);
        assert!(page.body.contains("is not right"), "{}", page.body);
    }
    // An ordinary login opens nothing, and neither does an application that the door does not.
    let mut browser = Browser::new();
    let page = browser.get(&format!("{}/", house.direct)).await;
    let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {} {}", page.url, page.body));
    let page = browser.submit(&form.with("username", "bob").with("password", PASSWORD)).await;
    assert_eq!(page.status, 200, "{} {}\n{}", page.url, page.body, house.gateway.log());
    assert!(browser.get(&house.door("direct")).await.body.contains("type=\"password\""), "it asks all the same");
    assert_eq!(browser.get(&house.door("shut")).await.status, 404);
    let choice = browser.get(&format!("{}{DOOR}", house.gateway.url())).await;
    assert_eq!(choice.body.matches("href=\"?app=").count(), 4, "{}", choice.body);

    let kinds: Vec<_> = house.alerts().iter().map(|it| (it["kind"].clone(), it["granted"].clone())).collect();
    let no = |kind: &str| (json!(kind), json!(false));
    assert_eq!(kinds, [no("emergency.decision"), no("emergency.refused"), no("emergency.refused")]);
    let audit = fs::read_to_string(house.gateway.path("audit.jsonl")).unwrap();
    for (what, text) in [("the audit", &audit), ("the log", &house.gateway.log()), ("the page", &choice.body)] {
        assert!(!text.contains("5f1d7e0c9b2a4836"), "{what} says where the door is: {text}");
    }
    assert!(house.gateway.log().contains("the emergency door was used"), "{}", house.gateway.log());
    assert!(!house.gateway.log().contains("bob"), "{}", house.gateway.log());
    for path in ["/.well-known/openid-configuration", "/no-such-page", "/"] {
        let page = browser.get(&format!("{}{path}", house.gateway.url())).await;
        assert!(!page.body.contains("5f1d7e0c9b2a4836"), "{path}: {}", page.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_would_not_open_keeps_the_gateway_from_starting_and_check_says_so() {
    let mut gateway = Gateway::new();
    settings(&gateway);
    gateway.write("settings/emergency-access.toml", "groups = [\"emergency\"]\n");
    let hash = hash_password(&Secret::new(PASSWORD.to_owned())).unwrap();
    gateway.write("accounts.toml", &format!("[accounts.ada]\npassword = \"{hash}\"\ngroups = [\"emergency\"]\n"));
    gateway.configure(&format!(
        "{}[accounts]\nfile = \"accounts.toml\"\n[upstreams.here]\nkind = \"local\"\n\
         [applications.app]\nurl = \"http://localhost:1/\"\nupstreams = [\"here\"]\nchain = {CHAIN:?}\n[applications.app.forward-auth]\n\
         [emergency]\npath = \"{DOOR}\"\ncomponent = \"policies/emergency-access.wasm\"\n\
         settings = \"settings/emergency-access.toml\"\n[emergency.limits]\ndeadline-ms = 5000\n",
        policies(&CHAIN),
    ));
    let config = gateway.path("vestibule.toml");
    let check = |gateway: &Gateway| {
        let (code, printed, errors) = gateway.run(&["--json", "check", "--config", config.to_str().unwrap()]);
        let said: Value = serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}{errors}"));
        (code, said["emergency"].clone(), printed)
    };
    let (code, door, printed) = check(&gateway);
    assert_eq!((code, &door["problem"]), (0, &Value::Null), "{printed}");
    assert_eq!(door["policy"]["name"], "emergency");

    gateway.write("settings/emergency-access.toml", "groups = []\n");
    let (code, door, printed) = check(&gateway);
    assert_eq!(code, 64, "{printed}");
    assert!(door["problem"].as_str().unwrap().contains("nobody could come in"), "{door}");
    let (code, printed, errors) = gateway.run(&["--json", "serve", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 64, "{printed}{errors}");
    assert!((printed.clone() + &errors).contains("nobody could come in"), "{printed}{errors}");
    assert!(!(printed + &errors).contains("5f1d7e0c9b2a4836"));

    // Policies in force that cannot be loaded are no matter of the door's: a restart brings it back.
    gateway.write("settings/emergency-access.toml", "groups = [\"emergency\"]\n");
    fs::write(gateway.path("policies/redirection-rules.wasm"), b"broken").unwrap();
    gateway.start();
    let mut browser = Browser::new();
    let page = browser.get(&format!("{}{DOOR}", gateway.url())).await;
    let form = page.forms().into_iter().next().unwrap_or_else(|| panic!("no form: {}", page.body));
    let sent = form.with("username", "ada").with("password", PASSWORD);
    let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&sent.fields).finish();
    let kind = "application/x-www-form-urlencoded";
    let page =
        browser.request(http::Method::POST, &sent.action, Some((kind, encoded)), &[("origin", &gateway.url())]).await;
    assert_eq!(page.status, 303, "{}\n{}", page.body, gateway.log());
    assert_eq!(page.location().unwrap().path(), "/vestibule/start/app");
}
