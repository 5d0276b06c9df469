//! Logout that service providers are asked for.

use super::*;
use crate::session::{Participant, Role};

fn participant(idp: &Idp) -> Participant {
    let wish = idp.wish(&request(&[], ""));
    idp.provider.grant(&PARSED, &admission("guard", ann()), &wish.sealed, &origin("sid-1")).unwrap().1
}

/// A response to `_ask`, with `inside` for a status, signed by `keys`.
fn response(
    keys: &KeyRing,
    destination: &str,
    in_response_to: &str,
    inside: &str,
    relay_state: Option<&str>,
) -> Inbound {
    let more = [("InResponseTo", in_response_to)];
    let xml = message("LogoutResponse", destination, &more, inside);
    let to = Url::parse("https://x.example/").unwrap();
    let signed = binding::signed_url(keys, &to, Message::Response, &xml, relay_state).unwrap();
    Inbound::by_redirect(Message::Response, signed.query().unwrap()).unwrap()
}

const YES: &str =
    "<samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>";

fn failed(idp: &Idp, inbound: &Inbound) -> Option<String> {
    idp.provider.logout_answer(&PARSED, "guard", inbound).unwrap().failed
}

#[test]
fn a_participant_is_asked_by_the_name_and_the_session_of_its_assertion() {
    let idp = Idp::new();
    let participant = participant(&idp);
    assert!(participant.front_channel);
    let Some(Outbound::Redirect(to)) = idp.provider.ask_to_log_out(&PARSED, &participant, "_ask").unwrap() else {
        panic!("not asked")
    };
    assert!(to.as_str().starts_with("https://auth.example.net/logout?SAMLRequest="), "{to}");
    let inbound = Inbound::redirect(to.query().unwrap()).unwrap();
    assert_eq!(inbound.relay_state.as_deref(), Some("_ask"));
    assert!(inbound.detached.is_some(), "signed");
    let tree = Tree::parse(&inbound.xml).unwrap();
    let root = tree.root().unwrap();
    assert!(root.is(names::PROTOCOL, "LogoutRequest"));
    assert_eq!(
        (root.attribute("ID"), root.attribute("Destination")),
        (Some("_ask"), Some("https://auth.example.net/logout"))
    );
    let name = find(root, names::ASSERTION, "NameID");
    assert_eq!(
        (name.text().unwrap().as_str(), name.attribute("Format")),
        ("ann@example.com", Some(names::NAME_ID_EMAIL))
    );
    assert_eq!(find(root, names::PROTOCOL, "SessionIndex").text().unwrap(), "sid-1");

    let by_form = parsed(&TEXT.replace("logout-url =", "logout-binding = \"post\"\nlogout-url ="));
    let Some(Outbound::Form(form)) = idp.provider.ask_to_log_out(&by_form, &participant, "_ask").unwrap() else {
        panic!("not asked by a form")
    };
    assert_eq!((form.kind.parameter(), form.relay_state.as_deref()), ("SAMLRequest", Some("_ask")));
    assert_eq!(verified(&opened(&form)), ["#_ask"]);

    // Another service provider under the same name, one that is gone, and one that is answered only.
    let other = parsed(&TEXT.replace(&format!("entity-id = \"{SP}\""), "entity-id = \"urn:other\""));
    let gone = parsed(&TEXT.replace("applications.guard", "applications.other"));
    let answered = parsed(&TEXT.replace("logout-url", "logout-response-url"));
    for config in [&other, &gone, &answered] {
        assert_eq!(idp.provider.ask_to_log_out(config, &participant, "_ask"), Ok(None));
    }
}

#[test]
fn a_lasting_name_has_its_qualifiers_in_the_request_too() {
    let idp = Idp::new();
    let Asked::Login(begun) = idp.provider.unsolicited(&PARSED, "open") else { panic!("not begun") };
    let (_, participant) =
        idp.provider.grant(&PARSED, &admission("open", ann()), &begun.sealed, &origin("sid")).unwrap();
    let Role::ServiceProvider { name_id, .. } = &participant.role else { panic!("{participant:?}") };
    assert_eq!(name_id.qualifiers.as_ref().map(|(_, theirs)| theirs.as_str()), Some(SP));
    assert!(!participant.front_channel, "it has no logout-url");
}

#[test]
fn a52_an_answer_that_is_not_proved_is_no_yes() {
    let idp = Idp::new();
    let good = response(&SP_KEYS, SLO, "_ask", YES, Some("_ask"));
    let answer = idp.provider.logout_answer(&PARSED, "guard", &good).unwrap();
    assert_eq!((answer.application.as_str(), answer.id.as_str(), &answer.failed), ("guard", "_ask", &None));

    let unsigned = Inbound { detached: None, ..good.clone() };
    let changed = Inbound { xml: good.xml.replace("_ask", "_other"), ..good.clone() };
    let status = |code: &str| {
        let value = format!("urn:oasis:names:tc:SAML:2.0:status:{code}");
        format!("<samlp:Status><samlp:StatusCode Value=\"{value}\"/></samlp:Status>")
    };
    let partial = YES.replace(
        "/></samlp:Status>",
        &format!(
            ">{}</samlp:StatusCode></samlp:Status>",
            "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:PartialLogout\"/>"
        ),
    );
    let at = |inside: &str| response(&SP_KEYS, SLO, "_ask", inside, Some("_ask"));
    for (inbound, code) in [
        (unsigned, "signature-missing"),
        (changed, "in-response-to-mismatch"),
        (response(&keys(), SLO, "_ask", YES, Some("_ask")), "signature-invalid"),
        (response(&SP_KEYS, SSO, "_ask", YES, Some("_ask")), "destination-mismatch"),
        (response(&SP_KEYS, SLO, "_other", YES, Some("_ask")), "in-response-to-mismatch"),
        (at(&status("Responder")), "logout-refused"),
        (at(&status("Requester")), "logout-refused"),
        (at(&partial), "partial-logout"),
        (at(""), "saml-request-invalid"),
        (at(&format!("{YES}{YES}")), "saml-request-invalid"),
        (Inbound { xml: format!("<!DOCTYPE a>{}", good.xml), ..good.clone() }, "saml-request-declaration"),
        (Inbound { xml: "<a/>".into(), ..good.clone() }, "saml-request-invalid"),
        (Inbound { xml: signed_logout("sid-1"), ..good.clone() }, "saml-request-invalid"),
    ] {
        assert_eq!(failed(&idp, &inbound).as_deref(), Some(code), "{}", inbound.xml);
    }
    // Nobody asked for it: it says of no request that it answers it.
    let unsolicited = response(&SP_KEYS, SLO, "_ask", YES, None);
    assert_eq!(idp.provider.logout_answer(&PARSED, "guard", &unsolicited).unwrap_err().code, "relay-state-missing");
    assert_eq!(idp.provider.logout_answer(&PARSED, "nobody", &good).unwrap_err().code, "unknown-service-provider");
    idp.clock.advance(limits::REQUEST_AGE_MAX + 1);
    assert_eq!(failed(&idp, &good).as_deref(), Some("saml-request-expired"));
}

#[test]
fn an_answer_by_a_form_goes_on_sealed_for_its_application_and_for_a_while() {
    let idp = Idp::new();
    let good = response(&SP_KEYS, SLO, "_ask", YES, Some("_ask"));
    let answer = idp.provider.logout_answer(&PARSED, "guard", &good).unwrap();
    let sealed = idp.provider.seal_answer(&answer).unwrap();
    assert_eq!(idp.provider.open_answer("guard", &sealed), Ok(answer));
    assert!(idp.provider.open_answer("open", &sealed).is_err());
    assert!(idp.provider.open_answer("guard", &idp.farewell(&signed_logout("s")).unwrap().sealed).is_err());
    assert!(idp.provider.leaving("guard", &sealed).is_err(), "sealed as an answer");
    idp.clock.advance(limits::SEALED_LIFETIME);
    assert!(idp.provider.open_answer("guard", &sealed).is_err());
}

#[test]
fn a_message_is_a_request_or_a_response_and_never_both() {
    let good = response(&SP_KEYS, SLO, "_ask", YES, Some("_ask"));
    let field = |name: &str| (name.to_owned(), STANDARD.encode(&good.xml));
    let both = [field("SAMLRequest"), field("SAMLResponse")];
    for kind in [Message::Request, Message::Response] {
        assert!(Inbound::by_post(kind, &both).is_err());
        assert!(Inbound::by_redirect(kind, "SAMLRequest=a&SAMLResponse=b").is_err());
    }
    assert_eq!(Inbound::by_post(Message::Response, &both[1..]).unwrap().xml, good.xml);
}
