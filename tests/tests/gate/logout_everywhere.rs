//! One logout over four applications of four kinds, as a person with a real browser meets it.

use serde_json::json;
use tempfile::TempDir;
use vestibule_tests::{
    browser::Browser,
    gateway::Gateway,
    peers::{Application, OpenIdProvider, RelyingParty, ServiceProvider, port},
    process::{node, root},
};

use crate::scene::{CHAIN, Running, With, policies, settings};

const SECRET: &str = "a-secret-of-a-relying-party-which-is-long";

/// An application that is a relying party at `port`.
fn relying_party(id: &str, name: &str, port: u16, more: &str) -> String {
    format!(
        "[applications.{id}]\ndisplay-name = \"{name}\"\nurl = \"http://127.0.0.1:{port}/\"\nupstreams = [\"op\"]\n\
         chain = {CHAIN:?}\n[applications.{id}.oidc]\nclient-secret = \"{SECRET}\"\n\
         redirect-uris = [\"http://127.0.0.1:{port}/cb\"]\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_logout_of_a_person_with_a_real_browser_ends_the_sessions_of_all_applications() {
    let mut gateway = Gateway::new();
    let (folder, proxy_port, ports) = (TempDir::new().expect("a folder"), port(), [port(), port()]);
    let site = format!("http://127.0.0.1:{proxy_port}");
    assert_eq!(gateway.run(&["keys", "certificate", "add", "--directory", "keys"]).0, 0);
    // Another site than the gateway's: no cookie of its own comes with what is in a frame there.
    let idp = format!("{}/saml/guard/metadata", gateway.url());
    let settings_of_it = json!({ "kind": "pysaml2", "idp": idp, "host": "localhost", "delay": 2 });
    let guard = ServiceProvider::start(folder.path(), &settings_of_it);
    gateway.write("sp.xml", &Browser::new().get(&format!("{}/metadata", guard.base)).await.body);
    let (code, table, errors) = gateway.run(&["saml", "import", "--app", "guard", "sp.xml"]);
    assert_eq!(code, 0, "{errors}");
    let person = |name: &str| {
        json!({
            "email": format!("{name}@example.test"), "email_verified": true, "preferred_username": name, "name": name,
            "groups": ["dev"],
        })
    };
    let op = OpenIdProvider::start(
        &json!([{
            "client_id": "gate", "client_secret": "a-secret-of-the-test-which-is-long",
            "redirect_uris": [format!("{}/callback/op", gateway.url())],
            "post_logout_redirect_uris": [format!("{}/logged-out", gateway.url())],
        }]),
        &json!({ "alice": person("alice"), "bob": person("bob"), "carol": person("carol") }),
    );
    settings(&gateway);
    let framed = format!("consent = true\nfrontchannel-logout-uri = \"http://127.0.0.1:{}/frontchannel\"", ports[0]);
    let behind = format!("backchannel-logout-uri = \"http://127.0.0.1:{}/backchannel\"", ports[1]);
    gateway.configure(&format!(
        "{policies}\
         [consent]\nfile = \"consents\"\n\n\
         [upstreams.op]\nissuer = \"{issuer}\"\nclient-id = \"gate\"\nclient-secret = \"a-secret-of-the-test-which-is-long\"\n\
         scopes = [\"openid\", \"profile\", \"email\", \"groups\"]\n\n\
         [applications.board]\ndisplay-name = \"Board\"\nurl = \"{site}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
         [applications.board.forward-auth]\n\n\
         [applications.guard]\ndisplay-name = \"Guard\"\nurl = \"{base}/\"\nupstreams = [\"op\"]\nchain = {CHAIN:?}\n\
         {table}\n{wiki}{chat}",
        policies = policies(&CHAIN),
        issuer = op.issuer,
        base = guard.base,
        wiki = relying_party("wiki", "Wiki", ports[0], &framed),
        chat = relying_party("chat", "Chat", ports[1], &behind),
    ));
    gateway.start();
    let application = Application::start().await;
    let _proxy = Running::start_for("board", With::Nginx, &gateway, proxy_port, application.port);
    let [wiki, chat] = [("wiki", ports[0]), ("chat", ports[1])].map(|(id, port)| {
        let settings = json!({
            "issuer": gateway.url(), "client_id": id, "client_secret": SECRET, "scope": "openid profile email groups",
        });
        RelyingParty::start(port, settings)
    });

    let told = json!({
        "gateway": gateway.url(), "issuer": op.issuer, "board": site, "guard": guard.base, "wiki": wiki.url,
        "chat": chat.url,
    });
    let done = tokio::process::Command::new(node())
        .arg(root().join("tests/peers/logout.mjs"))
        .env("LOGOUT", told.to_string())
        .env("SHOTS", root().join("target/screenshots"))
        .env("NODE_NO_WARNINGS", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .expect("node");
    let said = [&done.stdout[..], &done.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(done.status.success(), "{said}\n{}", gateway.log());

    // Three logouts, and each is on record with what came of it.
    let of = |kind: &str, client: &str| {
        let events = gateway.events(kind).into_iter();
        events.filter(|event| event["input"]["client"].as_str().is_some_and(|name| name.contains(client))).count()
    };
    let sp = guard.base.trim_start_matches("http://");
    for (kind, client, times) in [
        ("logout.asked", "wiki", 3),
        ("logout.asked", sp, 3),
        ("logout.sent", sp, 2),
        ("logout.given-up", sp, 1),
        ("logout.sent", "chat", 3),
        ("logout.failed", "chat", 0),
    ] {
        assert_eq!(of(kind, client), times, "{kind} of {client}\n{:#?}", gateway.events(kind));
    }
    let given_up = gateway.events("logout.given-up");
    assert_eq!(given_up[0]["outcome"]["failed"], "no-answer", "{given_up:?}");
}
