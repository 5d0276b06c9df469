//! The page that asks for consent: who sees it, and who may answer.

use tempfile::TempDir;

use super::*;
use crate::{
    decision::{Admission, Admitted, Difference},
    downstream::oidc::Asked,
};

const EVIL: &str = "<script>alert(1)</script>\"><svg onload=alert(1)>{{ 77777 * 77777 }}";

const MORE: &str = "[applications.asks]\nupstreams = [\"main\"]\nchain = [\"domains\"]\n\
    url = \"https://asks.example.com/\"\ndisplay-name = '<Asks> & {{ 77777 * 77777 }}'\n[applications.asks.oidc]\n\
    redirect-uris = [\"https://asks.example.com/cb\"]\nclient-secret = \"another\"\nconsent = true\n";

/// A login for the relying party that asks has just ended in yes; the address of the question.
async fn asked() -> (Harness, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("consents");
    let config = format!("{CONFIG}{MORE}[consent]\nfile = '{}'\n", file.display());
    let sealed = {
        let provider = Provider::new(Arc::clone(&KEYS), Arc::new(ManualClock::at(NOW)));
        let query = [
            ("client_id", "asks"),
            ("redirect_uri", "https://asks.example.com/cb"),
            ("response_type", "code"),
            ("scope", "openid email"),
        ];
        let query: Vec<(String, String)> = query.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let parsed = config::parse(&config, Path::new("/etc/vestibule.toml"), &|_| None).unwrap();
        let Asked::Login(request) = provider.authorize(&parsed, "default", &query) else { panic!("not taken") };
        provider.seal(&request).unwrap()
    };
    let step = move || {
        let Session { identity, profile, terms, .. } = ada();
        Step::Admitted {
            admission: Box::new(Admission::assertion(Admitted {
                login: "login-1".into(),
                application: "asks".into(),
                tenant: "default".into(),
                generation: 1,
                identity,
                profile: Profile { username: Some(EVIL.into()), ..profile },
                groups: Difference::default(),
                terms,
                at: NOW,
            })),
            request: sealed.clone(),
            origin: Box::new(Origin { sid: "sid-1".into(), upstream: "main".into(), ..Origin::default() }),
        }
    };
    let harness = Harness::with(&config, Box::new(|_, _| Check::NoSession { cookies: Vec::new() }), Box::new(step));
    let read = harness.visit("/logged-out").await;
    assert_eq!(read.status, StatusCode::SEE_OTHER);
    let to = read.header("location").unwrap().trim_start_matches("https://login.example.com").to_owned();
    assert!(to.starts_with("/oidc/consent?id="), "{to}");
    (harness, to, folder)
}

async fn look(harness: &Harness, to: &str, more: &[(&str, &str)]) -> Read {
    harness.send(with(Request::get(to).header("host", "login.example.com"), more), "").await
}

async fn say(harness: &Harness, body: &str, more: &[(&str, &str)]) -> Read {
    let request = Request::post("/oidc/consent")
        .header("host", "login.example.com")
        .header("content-type", "application/x-www-form-urlencoded");
    harness.send(with(request, more), body.to_owned()).await
}

const HELD: (&str, &str) = ("cookie", "sid-1=x");
const OURS: (&str, &str) = ("origin", "https://login.example.com");

#[tokio::test]
async fn a48_the_question_shows_what_came_from_outside_as_text() {
    let (harness, to, _folder) = asked().await;
    let read = look(&harness, &to, &[HELD]).await;
    assert_eq!(read.status, StatusCode::OK);
    assert!(!read.body.contains("<script") && !read.body.contains("<svg onload") && !read.body.contains("<Asks>"));
    assert!(!read.body.contains("6049261729"), "{}", read.body);
    assert!(read.body.contains("asks.example.com") && read.body.contains("Your email address"), "{}", read.body);
    assert!(!read.body.contains("groups that you are in"), "it is not asked for");
    let policy = read.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(read.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn only_the_browser_whose_session_it_is_sees_and_answers_the_question_with_a_form_of_ours() {
    let (harness, to, _folder) = asked().await;
    let id = to.trim_start_matches("/oidc/consent?id=").to_owned();
    let yes = format!("id={id}&answer=yes");
    let refused = |read: &Read| read.status.is_client_error() && !read.body.contains("Tell and continue");
    for more in [&[][..], &[("cookie", "sid-2=x")], &[HELD, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")]]
    {
        assert!(refused(&look(&harness, &to, more).await), "{more:?}");
    }
    for (body, more) in [
        (yes.as_str(), &[OURS][..]),
        (&yes, &[OURS, ("cookie", "sid-2=x")]),
        (&yes, &[HELD, ("origin", "https://asks.example.com")]),
        (&yes, &[HELD, ("origin", "null")]),
        (&yes, &[HELD, ("sec-fetch-site", "cross-site")]),
        (&format!("id={id}"), &[HELD, OURS]),
        (&format!("id={id}&answer=maybe"), &[HELD, OURS]),
        (&format!("id={id}&answer=yes&answer=no"), &[HELD, OURS]),
        ("id=x&answer=yes", &[HELD, OURS]),
        ("answer=yes", &[HELD, OURS]),
    ] {
        let read = say(&harness, body, more).await;
        assert!(refused(&read) && read.header("location").is_none(), "{body} {more:?}");
    }
    let read = look(&harness, &format!("{to}&answer=yes"), &[HELD]).await;
    assert!(read.status == StatusCode::OK && read.body.contains("Tell and continue"), "a link answers nothing");
    assert_eq!(look(&harness, &to.replace("/oidc", "/acme/oidc"), &[HELD]).await.status, StatusCode::NOT_FOUND);
    let read = say(&harness, &yes, &[HELD, OURS]).await;
    let to = read.header("location").unwrap();
    assert!(to.starts_with("https://asks.example.com/cb?code="), "{to}");
    assert!(refused(&say(&harness, &yes, &[HELD, OURS]).await), "once");
}

#[tokio::test]
async fn a_no_brings_the_relying_party_an_error() {
    let (harness, to, _folder) = asked().await;
    let body = format!("{}&answer=no", to.trim_start_matches("/oidc/consent?"));
    let read = say(&harness, &body, &[HELD, OURS]).await;
    assert!(read.header("location").unwrap().contains("error=access_denied"), "{read:?}");
}
