//! Consent: who is asked, once, and what comes of the answer.

use super::*;

/// A configuration in which `web` asks people, and remembers in `folder`.
fn asking(folder: &Path) -> Op {
    let mut op = Op::new();
    op.config.consent = Some(config::Consent { file: folder.join("consents") });
    change(&mut op.config, "web", |client| client.consent = true);
    op
}

impl Op {
    fn reply_for(&self, more: Pairs<'_>, admission: &Admission) -> Reply {
        let Asked::Login(request) = self.authorize(more) else { panic!("not taken: {more:?}") };
        let sealed = self.provider.seal(&request).unwrap();
        self.provider.answer(&self.config, admission, &sealed, origin()).unwrap()
    }

    fn reply(&self, more: Pairs<'_>) -> Reply {
        self.reply_for(more, &admission("web"))
    }

    /// The question's id.
    fn asks(&self, more: Pairs<'_>) -> String {
        match self.reply(more) {
            Reply::Ask(page) => {
                assert_eq!(page.path(), "/oidc/consent");
                page.query_pairs().find(|(name, _)| name == "id").unwrap().1.into_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    fn says(&self, id: &str, yes: bool) -> Result<Reply, &'static str> {
        self.provider.consented(&self.config, "default", id, yes).map_err(|refused| refused.code)
    }
}

fn part(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

#[test]
fn a_code_is_held_back_until_the_person_agreed_and_then_nobody_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let op = asking(folder.path());
    let id = op.asks(&[]);
    let question = op.provider.question("default", &id).unwrap();
    assert_eq!((question.application.as_str(), question.site.as_str()), ("web", "web.example.com"));
    assert_eq!((question.person.as_deref(), question.origin.sid.as_str()), (Some("ann@example.com"), "sid-1"));
    assert_eq!(question.scopes, ["openid", "email", "groups"]);
    let Ok(Reply::Code { to, participant }) = op.says(&id, true) else { panic!("no code") };
    assert_eq!(participant.unwrap().name(), "web");
    assert_eq!(part(&to, "state").as_deref(), Some("s-1"));
    assert!(op.token(&part(&to, "code").unwrap(), &[]).is_ok());
    assert_eq!(op.says(&id, true).unwrap_err(), "consent-over", "an answer is given once");
    assert!(op.provider.question("default", &id).is_none());

    assert!(matches!(op.reply(&[]), Reply::Code { .. }), "it is remembered");
    assert!(matches!(op.reply(&[("prompt", "none")]), Reply::Code { .. }));
    assert!(matches!(op.reply(&[("scope", "openid email")]), Reply::Code { .. }), "less than that, too");
    op.asks(&[("scope", "openid email profile")]);
    op.asks(&[("prompt", "consent")]);
    op.asks(&[("prompt", "login consent")]);
    // Somebody else is somebody else, and so is another client.
    let mut other = Admitted::clone(&admission("web"));
    other.identity.subject = "bob".into();
    assert!(matches!(op.reply_for(&[], &Admission::assertion(other)), Reply::Ask(_)));
}

#[test]
fn whoever_does_not_agree_is_told_of_to_the_relying_party_and_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let op = asking(folder.path());
    op.says(&op.asks(&[]), true).unwrap();
    let Ok(Reply::Error(to)) = op.says(&op.asks(&[("prompt", "consent")]), false) else { panic!("not refused") };
    assert_eq!((part(&to, "error").as_deref(), part(&to, "code")), (Some("access_denied"), None));
    assert_eq!((part(&to, "state").as_deref(), part(&to, "iss").is_some()), (Some("s-1"), true));
    op.asks(&[]);
    let Reply::Error(to) = op.reply(&[("prompt", "none")]) else { panic!("shown") };
    assert_eq!(part(&to, "error").as_deref(), Some("consent_required"));
}

#[test]
fn nobody_is_asked_where_neither_the_configuration_nor_the_client_wants_it() {
    let op = Op::new();
    assert!(matches!(op.reply(&[]), Reply::Code { .. }));
    // A client's own wish is granted each time; nothing is remembered.
    for _ in 0..2 {
        assert!(matches!(op.says(&op.asks(&[("prompt", "consent")]), true), Ok(Reply::Code { .. })));
    }
    let Asked::Redirect(to) = op.authorize(&[("prompt", "none consent")]) else { panic!("taken") };
    assert_eq!(part(&to, "error").as_deref(), Some("invalid_request"));
}

#[test]
fn where_it_is_not_known_who_agreed_all_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let op = asking(folder.path());
    std::fs::write(folder.path().join("consents"), "nonsense\n").unwrap();
    for _ in 0..2 {
        let id = op.asks(&[]);
        assert!(matches!(op.says(&id, true), Ok(Reply::Code { .. })), "for this once");
    }
}

#[test]
fn a_question_is_of_its_organization_its_client_and_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut op = asking(folder.path());
    let id = op.asks(&[]);
    assert!(op.provider.question("acme", &id).is_none());
    assert!(op.provider.consented(&op.config, "acme", &id, true).is_err());
    assert!(op.provider.question("default", &id).is_some(), "another organization could not use it up");
    for guess in ["", "x", &id[1..]] {
        assert!(op.provider.question("default", guess).is_none(), "{guess}");
        assert_eq!(op.says(guess, true).unwrap_err(), "consent-over");
    }
    op.clock.advance(op.config.login.pending.into());
    assert!(op.provider.question("default", &id).is_none());
    assert_eq!(op.says(&id, true).unwrap_err(), "consent-over");
    let id = op.asks(&[]);
    change(&mut op.config, "web", |client| client.redirect_uris.clear());
    assert_eq!(op.says(&id, true).unwrap_err(), "consent-over", "the address was taken out meanwhile");
}

#[test]
fn clients_that_are_registered_for_an_application_ask_as_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut op = Op::new();
    op.config = registering(folder.path());
    op.config.consent = Some(config::Consent { file: folder.path().join("consents") });
    change(&mut op.config, "renewing", |client| client.consent = true);
    op.register(&json!({
        "client_id": "new", "client_name": "The New One", "redirect_uris": ["https://web.example.com/cb"],
    }));
    let Reply::Ask(page) = op.reply_for(&[("client_id", "new")], &admission("renewing")) else { panic!("not asked") };
    let question = op.provider.question("default", &part(&page, "id").unwrap()).unwrap();
    assert_eq!((question.name.as_str(), question.client_id.as_str()), ("The New One", "new"));
}
