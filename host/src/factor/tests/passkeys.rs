//! Requirements on passkeys: what is taken, what is not, and what is kept.

use serde_json::{Value, json};

use super::*;
use crate::factor::soft::{Authenticator, USER_PRESENT, USER_VERIFIED};

const GATE: &str = "https://gate.example/";

fn party() -> RelyingParty {
    RelyingParty::new(&GATE.parse().unwrap(), "The Gate").unwrap()
}

fn ask(factors: &Factors, whose: Whose<'_>) -> (Options, Ceremonies) {
    factors.ask(whose, &party(), "ann@example.com", true).unwrap()
}

fn form(name: &str, attestation: &Value) -> PasskeyForm {
    PasskeyForm { name: name.into(), attestation: Secret::new(attestation.to_string()) }
}

fn made(factors: &Factors, whose: Whose<'_>, name: &str, device: &Authenticator) -> Result<NewPasskey, Refused> {
    let (options, asked) = ask(factors, whose);
    party().made(Some(asked), &form(name, &device.attest(&options.creation.unwrap())))
}

/// A subject whose factor is a passkey.
fn enrolled_with_passkey(factors: &Factors, whose: Whose<'_>) -> (Authenticator, Vec<Secret<String>>) {
    let device = Authenticator::new(GATE);
    let new = made(factors, whose, "phone", &device).unwrap();
    let codes = factors.enrol_passkey(whose, new, NOW).unwrap().unwrap();
    (device, codes)
}

fn prove(factors: &Factors, whose: Whose<'_>, device: &mut Authenticator) -> Outcome {
    let (options, asked) = ask(factors, whose);
    device.counter += 1;
    let answer = Secret::new(device.assert(&options.request.unwrap()).to_string());
    factors.prove_passkey(whose, &party(), Some(asked), &answer, NOW + 5).unwrap()
}

#[test]
fn a_passkey_sets_a_factor_up_and_proves_it_afterwards() {
    let home = Home::new();
    let factors = home.open();
    assert_eq!(ask(&factors, ANN).0.request, None, "there is nothing to prove");
    let (mut device, codes) = enrolled_with_passkey(&factors, ANN);
    assert_eq!(codes.len(), RECOVERY_CODES);
    let known = factors.find(ANN).unwrap().unwrap();
    assert_eq!((known.totp, known.passkeys.len(), known.passkeys[0].name.as_str()), (false, 1, "phone"));
    // After a restart, too.
    let factors = home.open();
    assert_eq!(prove(&factors, ANN, &mut device), Outcome::Passed(Method::Passkey));
    assert_eq!(prove(&factors, ANN, &mut device), Outcome::Passed(Method::Passkey));
    assert_eq!(factors.find(ANN).unwrap().unwrap().passkeys[0].used, NOW + 5);
    // There is no app, and so no code of one; the recovery codes are there.
    assert_eq!(factors.prove(ANN, "123456", NOW).unwrap(), Outcome::Wrong);
    assert!(matches!(factors.prove(ANN, codes[0].expose(), NOW).unwrap(), Outcome::Passed(_)));
    // Whoever comes second, with the first factor alone, changes nothing.
    let other = made(&factors, BOB, "x", &Authenticator::new(GATE)).unwrap();
    assert_eq!(factors.enrol_passkey(ANN, other, NOW).unwrap().err(), Some(Outcome::Used));
}

#[test]
fn the_options_ask_for_a_verified_user_and_for_no_attestation() {
    let home = Home::new();
    let factors = home.open();
    enrolled_with_passkey(&factors, ANN);
    let (options, _) = ask(&factors, ANN);
    let creation: Value = serde_json::from_str(&options.creation.unwrap()).unwrap();
    assert_eq!(creation["rp"], json!({ "id": "gate.example", "name": "The Gate" }));
    assert_eq!(creation["authenticatorSelection"]["userVerification"], "required");
    assert!(matches!(creation["attestation"].as_str(), None | Some("none")), "{creation}");
    assert_eq!(creation["excludeCredentials"].as_array().unwrap().len(), 1, "not on the same one twice");
    let request: Value = serde_json::from_str(&options.request.unwrap()).unwrap();
    assert_eq!((&request["rpId"], &request["userVerification"]), (&json!("gate.example"), &json!("required")));
    assert_eq!(request["allowCredentials"].as_array().unwrap().len(), 1);
    // A challenge is never asked twice.
    let again: Value = serde_json::from_str(&ask(&factors, ANN).0.request.unwrap()).unwrap();
    assert_ne!(request["challenge"], again["challenge"]);
}

/// What is wrong with a device, in both ceremonies.
type Wrong = fn(&mut Authenticator);

const WRONG: &[(&str, Wrong, Refused)] = &[
    ("another site", |it| it.origin = "https://evil.example".into(), Refused::Origin),
    ("a subdomain", |it| it.origin = "https://x.gate.example".into(), Refused::Origin),
    ("a site that ends alike", |it| it.origin = "https://evil-gate.example".into(), Refused::Origin),
    ("another port", |it| it.origin = "https://gate.example:8443".into(), Refused::Origin),
    ("no TLS", |it| it.origin = "http://gate.example".into(), Refused::Origin),
    ("within another site's page", |it| it.cross_origin = true, Refused::Origin),
    ("another RP ID", |it| it.rp_id = "example".into(), Refused::RelyingParty),
    ("an RP ID above", |it| it.rp_id = "login.gate.example".into(), Refused::RelyingParty),
    ("another challenge", |it| it.challenge = Some("A".repeat(43)), Refused::Challenge),
    ("no challenge", |it| it.challenge = Some(String::new()), Refused::Challenge),
    ("nobody touched it", |it| it.flags = USER_VERIFIED, Refused::UserNotPresent),
    ("nobody was verified", |it| it.flags = USER_PRESENT, Refused::UserNotVerified),
    ("another ceremony", |it| it.kind = Some("payment.get"), Refused::Malformed),
];

#[test]
fn denies_a_new_passkey_that_is_not_what_was_asked_for() {
    let home = Home::new();
    let factors = home.open();
    for (what, wrong, refused) in WRONG {
        let mut device = Authenticator::new(GATE);
        wrong(&mut device);
        assert_eq!(made(&factors, ANN, "x", &device).err(), Some(*refused), "{what}");
    }
    let mut device = Authenticator::new(GATE);
    device.kind = Some("webauthn.get");
    assert_eq!(made(&factors, ANN, "x", &device).err(), Some(Refused::Malformed));
    // EdDSA (-8), PS256 (-37), ES256K (-47), RS1 (-65535): never asked for.
    for cose in [
        [&b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20"[..], &[7; 32]].concat(),
        [&b"\xa4\x01\x03\x03\x38\x24\x20\x58\x20"[..], &[7; 32], b"\x21\x43\x01\x00\x01"].concat(),
        [&b"\xa5\x01\x02\x03\x38\x2e\x20\x08\x21\x58\x20"[..], &[7; 32], b"\x22\x58\x20", &[7; 32]].concat(),
        [&b"\xa4\x01\x03\x03\x39\xff\xfe\x20\x58\x20"[..], &[7; 32], b"\x21\x43\x01\x00\x01"].concat(),
    ] {
        let mut device = Authenticator::new(GATE);
        device.cose = Some(cose);
        let refused = made(&factors, ANN, "x", &device).err();
        assert!(matches!(refused, Some(Refused::Algorithm | Refused::Malformed)), "{refused:?}");
    }
    // A point that is not on the curve.
    let mut device = Authenticator::new(GATE);
    let off = [&b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20"[..], &[7; 32], b"\x22\x58\x20", &[7; 32]].concat();
    device.cose = Some(off);
    assert!(made(&factors, ANN, "x", &device).is_err());
    assert_eq!(factors.find(ANN).unwrap(), None);
}

#[test]
fn denies_a_proof_that_is_not_what_was_asked_for() {
    let home = Home::new();
    let factors = home.open();
    let (mut device, _) = enrolled_with_passkey(&factors, ANN);
    for (what, wrong, refused) in WRONG {
        let kept = (device.origin.clone(), device.rp_id.clone());
        wrong(&mut device);
        assert_eq!(prove(&factors, ANN, &mut device), Outcome::Refused(*refused), "{what}");
        (device.origin, device.rp_id) = kept;
        (device.challenge, device.kind, device.cross_origin) = (None, None, false);
        device.flags = USER_PRESENT | USER_VERIFIED;
    }
    device.kind = Some("webauthn.create");
    assert_eq!(prove(&factors, ANN, &mut device), Outcome::Refused(Refused::Malformed));
    device.kind = None;
    // A signature that was changed, and one of another key.
    let (options, asked) = ask(&factors, ANN);
    device.counter += 1;
    let mut answer = device.assert(options.request.as_ref().unwrap());
    let mut other = Authenticator::new(GATE);
    (other.id, other.counter) = (device.id.clone(), device.counter);
    answer["response"]["signature"] = other.assert(options.request.as_ref().unwrap())["response"]["signature"].clone();
    let answer = Secret::new(answer.to_string());
    let outcome = factors.prove_passkey(ANN, &party(), Some(asked), &answer, NOW).unwrap();
    assert_eq!(outcome, Outcome::Refused(Refused::Signature));
    for signature in ["", "AAAA", &"A".repeat(96)] {
        let (options, asked) = ask(&factors, ANN);
        let mut answer = device.assert(&options.request.unwrap());
        answer["response"]["signature"] = json!(signature);
        let answer = Secret::new(answer.to_string());
        let outcome = factors.prove_passkey(ANN, &party(), Some(asked), &answer, NOW).unwrap();
        assert!(matches!(outcome, Outcome::Refused(_)), "{signature:?}: {outcome:?}");
    }
    assert_eq!(prove(&factors, ANN, &mut device), Outcome::Passed(Method::Passkey), "all the rest was right");
}

#[test]
fn denies_an_answer_that_comes_again_and_one_that_was_asked_of_somebody_else() {
    let home = Home::new();
    let factors = home.open();
    let (mut ann, _) = enrolled_with_passkey(&factors, ANN);
    let (mut bob, _) = enrolled_with_passkey(&factors, BOB);
    let refused = |refused| Ok(Outcome::Refused(refused));
    let (options, asked) = ask(&factors, ANN);
    ann.counter += 1;
    let answer = Secret::new(ann.assert(&options.request.unwrap()).to_string());
    let prove = |whose, asked, answer: &Secret<String>| {
        factors.prove_passkey(whose, &party(), asked, answer, NOW).map_err(|error| error.to_string())
    };
    assert_eq!(prove(ANN, Some(asked), &answer), Ok(Outcome::Passed(Method::Passkey)));
    // What was asked is used up; whatever is asked then has another challenge.
    assert_eq!(prove(ANN, None, &answer), refused(Refused::NotAsked));
    assert_eq!(prove(ANN, Some(ask(&factors, ANN).1), &answer), refused(Refused::Challenge));
    // Another person's passkey, right as it is.
    let (options, asked) = ask(&factors, ANN);
    bob.counter += 1;
    let answer = Secret::new(bob.assert(&options.request.unwrap()).to_string());
    assert_eq!(prove(ANN, Some(asked), &answer), refused(Refused::Unknown));
    // What was asked of another person.
    let (options, asked) = ask(&factors, BOB);
    bob.counter += 1;
    let answer = Secret::new(bob.assert(&options.request.unwrap()).to_string());
    assert_eq!(prove(ANN, Some(asked), &answer), refused(Refused::NotAsked));
    let new = made(&factors, BOB, "x", &Authenticator::new(GATE)).unwrap();
    assert_eq!(factors.add_passkey(ANN, new, NOW).unwrap(), Outcome::Refused(Refused::NotAsked));
    // A passkey that is somebody's already: in nobody's place, and not twice.
    for whose in [BOB, ANN] {
        let new = made(&factors, whose, "x", &ann);
        let kept = new.map(|new| factors.add_passkey(whose, new, NOW).unwrap());
        assert!(matches!(kept, Err(Refused::Known) | Ok(Outcome::Refused(Refused::Known))), "{kept:?}");
    }
}

#[test]
fn denies_when_the_counter_does_not_go_forward() {
    let home = Home::new();
    let factors = home.open();
    let (mut device, _) = enrolled_with_passkey(&factors, ANN);
    device.counter = 10;
    assert_eq!(prove(&factors, ANN, &mut device), Outcome::Passed(Method::Passkey));
    for before in [9, 10, 0] {
        device.counter = before;
        assert_eq!(prove(&factors, ANN, &mut device), Outcome::Refused(Refused::Counter), "{before} + 1 after 11");
    }
    // Asked twice at once: the second one is held to what the first one said.
    let (first, second) = (ask(&factors, ANN), ask(&factors, ANN));
    device.counter = 12;
    for ((options, asked), expected) in
        [(first, Outcome::Passed(Method::Passkey)), (second, Outcome::Refused(Refused::Counter))]
    {
        let answer = Secret::new(device.assert(&options.request.unwrap()).to_string());
        assert_eq!(factors.prove_passkey(ANN, &party(), Some(asked), &answer, NOW).unwrap(), expected);
    }
    // One that has no counter has none for ever (WebAuthn §6.1.1).
    let mut synced = Authenticator::new(GATE);
    synced.counter = 0;
    let new = made(&factors, BOB, "x", &synced).unwrap();
    factors.enrol_passkey(BOB, new, NOW).unwrap().unwrap();
    for _ in 0..2 {
        let (options, asked) = ask(&factors, BOB);
        let answer = Secret::new(synced.assert(&options.request.unwrap()).to_string());
        let outcome = factors.prove_passkey(BOB, &party(), Some(asked), &answer, NOW).unwrap();
        assert_eq!(outcome, Outcome::Passed(Method::Passkey));
    }
}

#[test]
fn a67_reads_garbage_without_a_complaint() {
    let home = Home::new();
    let factors = home.open();
    let (device, _) = enrolled_with_passkey(&factors, ANN);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(5000), close.repeat(5000));
    let texts =
        ["", "null", "[]", "{}", "\u{0}", "{\"id\":1}", &"x".repeat(100_000), &deep("[", "]"), &deep("{\"a\":", "}")];
    for text in texts {
        let (_, asked) = ask(&factors, ANN);
        let text = Secret::new(text.to_owned());
        let form = PasskeyForm { name: String::new(), attestation: text.clone() };
        assert_eq!(party().made(Some(asked), &form).err(), Some(Refused::Malformed));
        let outcome = factors.prove_passkey(ANN, &party(), Some(ask(&factors, ANN).1), &text, NOW).unwrap();
        assert_eq!(outcome, Outcome::Refused(Refused::Malformed));
    }
    // A field less, and a field more than there is room for.
    for field in
        ["id", "rawId", "type", "response", "attestationObject", "clientDataJSON", "authenticatorData", "signature"]
    {
        let (options, asked) = ask(&factors, ANN);
        let (mut new, mut old) = (device.attest(&options.creation.unwrap()), device.assert(&options.request.unwrap()));
        let (request, creation) = Ceremonies::split(Some(asked));
        for answer in [&mut new, &mut old] {
            answer.as_object_mut().unwrap().remove(field);
            if let Some(response) = answer.get_mut("response").and_then(Value::as_object_mut) {
                response.remove(field);
            }
        }
        if !["authenticatorData", "signature"].contains(&field) {
            assert_eq!(party().made(creation, &form("x", &new)).err(), Some(Refused::Malformed), "{field}");
        }
        if field != "attestationObject" {
            let old = Secret::new(old.to_string());
            let outcome = factors.prove_passkey(ANN, &party(), request, &old, NOW).unwrap();
            assert_eq!(outcome, Outcome::Refused(Refused::Malformed), "{field}");
        }
    }
    // CBOR that is cut, that nests, that promises more than it has.
    let whole = {
        let (options, _) = ask(&factors, BOB);
        let text = Authenticator::new(GATE).attest(&options.creation.unwrap());
        let object = text["response"]["attestationObject"].as_str().unwrap().to_owned();
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, object).unwrap()
    };
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let nested = [vec![0x81; 8000], vec![0xa1; 8000], [vec![0x9f; 4000], vec![0xff; 4000]].concat()];
    let promised = [vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], vec![0xbb, 0x7f, 0xff, 0xff, 0xff]];
    for object in cut.chain(nested).chain(promised) {
        let mut device = Authenticator::new(GATE);
        device.object = Some(object);
        assert!(made(&factors, BOB, "x", &device).is_err());
    }
}

#[test]
fn there_are_so_many_at_most_each_with_a_name_of_its_own() {
    let home = Home::new();
    let factors = home.open();
    enrolled_with_passkey(&factors, ANN);
    for name in ["phone", " phone\u{7}\n", "", ""] {
        let new = made(&factors, ANN, name, &Authenticator::new(GATE)).unwrap();
        assert_eq!(factors.add_passkey(ANN, new, NOW).unwrap(), Outcome::Passed(Method::Passkey));
    }
    let names = |factors: &Factors| -> Vec<String> {
        factors.find(ANN).unwrap().unwrap().passkeys.into_iter().map(|known| known.name).collect()
    };
    assert_eq!(names(&factors), ["phone", "phone 2", "phone 3", "Passkey", "Passkey 2"]);
    let early: Vec<NewPasskey> =
        (0..6).map(|_| made(&factors, ANN, &"ä".repeat(100), &Authenticator::new(GATE)).unwrap()).collect();
    let outcomes: Vec<Outcome> = early.into_iter().map(|new| factors.add_passkey(ANN, new, NOW).unwrap()).collect();
    assert_eq!(outcomes[5], Outcome::Refused(Refused::TooMany));
    assert_eq!(names(&factors).len(), PASSKEYS_MAX);
    assert!(names(&factors).iter().all(|name| name.chars().count() <= 67));
    assert_eq!(ask(&factors, ANN).0.creation, None, "no more is asked for");
}

#[test]
fn with_the_last_means_of_proof_the_factor_goes() {
    let home = Home::new();
    let factors = home.open();
    let (mut device, _) = enrolled_with_passkey(&factors, ANN);
    let new = made(&factors, ANN, "key", &Authenticator::new(GATE)).unwrap();
    factors.add_passkey(ANN, new, NOW).unwrap();
    assert_eq!(factors.remove_passkey(ANN, "nothing", true, NOW).unwrap(), Removed::Nothing);
    assert_eq!(factors.remove_passkey(BOB, "key", true, NOW).unwrap(), Removed::Nothing);
    // Asked for before it was taken away.
    let (options, asked) = ask(&factors, ANN);
    assert_eq!(factors.remove_passkey(ANN, "phone", true, NOW).unwrap(), Removed::Passkey);
    device.counter += 1;
    let answer = Secret::new(device.assert(&options.request.unwrap()).to_string());
    let outcome = factors.prove_passkey(ANN, &party(), Some(asked), &answer, NOW).unwrap();
    assert_eq!(outcome, Outcome::Refused(Refused::Unknown));
    let id = factors.find(ANN).unwrap().unwrap().passkeys[0].id.clone();
    assert_eq!(factors.remove_passkey(ANN, &id, true, NOW).unwrap(), Removed::Factor);
    assert_eq!(factors.find(ANN).unwrap(), None);
    let mut told = Vec::new();
    factors
        .record_resets(|reset| {
            told.push(reset.passkey.clone());
            true
        })
        .unwrap();
    assert_eq!(told, [Some("phone".to_owned()), None]);
    // Where there is an app, it stays.
    enrolled(&factors, ANN);
    let new = made(&factors, ANN, "key", &Authenticator::new(GATE)).unwrap();
    factors.add_passkey(ANN, new, NOW).unwrap();
    assert_eq!(factors.remove_passkey(ANN, "key", false, NOW).unwrap(), Removed::Passkey);
    assert!(factors.find(ANN).unwrap().unwrap().totp);
}

#[test]
fn whoever_guesses_codes_keeps_nobody_from_their_passkey() {
    let home = Home::new();
    let factors = home.open();
    let (secret, _) = enrolled(&factors, ANN);
    let mut device = Authenticator::new(GATE);
    let new = made(&factors, ANN, "key", &device).unwrap();
    factors.add_passkey(ANN, new, NOW).unwrap();
    let right = secret.shown(NOW + 60);
    let wrong = if right == "000000" { "111111" } else { "000000" };
    for _ in 0..5 {
        factors.prove(ANN, wrong, NOW + 60).unwrap();
    }
    assert!(matches!(factors.prove(ANN, &right, NOW + 60).unwrap(), Outcome::Locked { .. }));
    assert_eq!(prove(&factors, ANN, &mut device), Outcome::Passed(Method::Passkey));
    assert_eq!(factors.prove(ANN, &right, NOW + 60).unwrap(), Outcome::Passed(Method::Totp), "and the lock is off");
}

#[test]
fn a_passkey_in_another_subjects_place_does_not_open() {
    let home = Home::new();
    let factors = home.open();
    enrolled(&factors, BOB);
    let text = fs::read_to_string(home.path()).unwrap();
    assert!(text.contains("\"format\": 1") && !text.contains("passkeys"), "an older program reads it: {text}");
    let (device, _) = enrolled_with_passkey(&factors, ANN);
    let mut document: Value = serde_json::from_str(&fs::read_to_string(home.path()).unwrap()).unwrap();
    assert_eq!(document["format"], 2);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &device.id);
    assert_eq!(document["subjects"][0]["passkeys"][0]["id"], encoded);
    let refused = |document: &Value| {
        fs::write(home.path(), document.to_string()).unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o600)).unwrap();
        Factors::open(&home.path(), home.ring()).unwrap_err().to_string()
    };
    // Moved to Bob.
    let mut moved = document.clone();
    moved["subjects"][1]["passkeys"] = moved["subjects"][0]["passkeys"].take();
    moved["subjects"][0].as_object_mut().unwrap().remove("passkeys");
    moved["subjects"][0]["secret"] = moved["subjects"][1]["secret"].clone();
    assert!(refused(&moved).contains("does not open"));
    // Under another ID, twice, and nothing at all.
    let mut renamed = document.clone();
    renamed["subjects"][0]["passkeys"][0]["id"] = json!("AAAA");
    assert!(refused(&renamed).contains("passkeys"));
    let mut twice = document.clone();
    let one = twice["subjects"][0]["passkeys"][0].clone();
    twice["subjects"][0]["passkeys"].as_array_mut().unwrap().push(one);
    assert!(refused(&twice).contains("twice"));
    document["subjects"][0].as_object_mut().unwrap().remove("passkeys");
    assert!(refused(&document).contains("neither"));
}

#[test]
fn a_gateway_at_an_address_has_no_passkeys_and_one_on_this_machine_has() {
    let known = |url: &str| RelyingParty::new(&url.parse().unwrap(), "x").is_some();
    assert!(known("https://gate.example/") && known("http://localhost:8080/") && known("https://gate.example:8443/"));
    assert!(!known("https://192.0.2.1/") && !known("https://[2001:db8::1]/"));
}
