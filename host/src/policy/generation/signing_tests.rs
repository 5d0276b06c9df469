//! Generations whose components must be signed, and whose versions are remembered.

use std::fs;

use minisign::KeyPair;

use super::{
    super::{allow_downgrade, fixture, signed},
    tests::{Folder, marks},
    *,
};
use crate::clock::ManualClock;

/// A folder where signatures are required, and its signers.
pub(super) struct Signed {
    pub(super) folder: Folder,
    pub(super) ann: KeyPair,
    pub(super) bob: KeyPair,
}

impl Signed {
    /// Two policies, both signed by Ann.
    pub(super) fn new() -> Self {
        let pair = || KeyPair::generate_unencrypted_keypair().unwrap();
        let new = Self { folder: Folder::new(), ann: pair(), bob: pair() };
        new.configure("signatures-required = 1", "");
        new.folder.write("a.wasm", fixture::policy("1.0.0", &[]));
        new.folder.write("b.wasm", fixture::policy("1.0.0", &[]));
        for name in ["a", "b"] {
            new.sign(name, &new.ann);
        }
        new
    }

    pub(super) fn configure(&self, required: &str, revoked: &str) {
        let more = format!(
            "versions-file = \"versions.json\"\n{required}\nrevoked-keys = [{revoked}]\n\
             trusted-keys = {{ ann = \"{}\", bob = \"{}\" }}\n",
            self.ann.pk.to_base64(),
            self.bob.pk.to_base64()
        );
        self.folder.configure(&more, &[("wiki", "\"a\", \"b\"")]);
        for name in ["a", "b"] {
            let component = format!("component = \"{name}.wasm\"");
            self.folder.change_configuration(&component, &format!("{component}\nsigned-as = \"fixture\""));
        }
    }

    pub(super) fn sign(&self, name: &str, signer: &KeyPair) {
        let bytes = fs::read(self.folder.path(&format!("{name}.wasm"))).unwrap();
        let engine = Engine::new(&config::Limits::default(), None).unwrap();
        let statement = signed::Statement::of(&super::super::Component::check(&engine, &bytes).unwrap()).to_bytes();
        let signature = minisign::sign(None, &signer.sk, &*statement, None, None).unwrap();
        self.folder.write(&format!("{name}.wasm.statement"), statement);
        self.folder.write(&format!("{name}.wasm.statement.minisig"), signature.to_string());
    }

    pub(super) fn replace(&self, version: &str, signer: &KeyPair) {
        self.folder.write("b.wasm", fixture::policy(version, &[]));
        self.sign("b", signer);
    }
}

fn refused(generations: &Generations, says: &str) {
    let before = generations.current();
    let event = generations.reload();
    assert_eq!((event.outcome, event.generation), (Outcome::Refused, before.number()), "{says}: {event}");
    assert!(event.problems.iter().any(|problem| problem.to_string().contains(says)), "{says}: {event}");
    assert_eq!(marks(&generations.current()), ["one", "one"], "{says}");
}

#[test]
fn signed_policies_come_into_force_and_the_event_names_their_signers() {
    let place = Signed::new();
    let (generations, _, events) = place.folder.open();
    let event = events.recv().unwrap();
    assert_eq!(event.problems, [], "{event}");
    assert_eq!(event.signers["a"], ["ann"]);
    assert_eq!(marks(&generations.current()), ["one", "one"]);
    // The versions' file, which the gateway wrote itself, is no change.
    let watched = generations.watched();
    assert_eq!(watch::fingerprint(watched.keys()), watched);
}

#[test]
fn what_is_not_signed_well_is_refused_and_what_is_in_force_stays() {
    let place = Signed::new();
    let (generations, ..) = place.folder.open();
    let statement = place.folder.path("b.wasm.statement");
    let signatures = place.folder.path("b.wasm.statement.minisig");

    place.folder.write("b.wasm", fixture::policy("1.1.0", &[]));
    refused(&generations, "the statement is about another component");
    fs::remove_file(&signatures).unwrap();
    refused(&generations, "the component is not signed: b.wasm.statement.minisig");
    fs::remove_file(&statement).unwrap();
    refused(&generations, "the component is not signed: b.wasm.statement:");
    place.sign("b", &KeyPair::generate_unencrypted_keypair().unwrap());
    refused(&generations, "is unknown");
    place.sign("b", &place.ann);
    let text = fs::read_to_string(&statement).unwrap();
    place.folder.write("b.wasm.statement", text.replace("1.1.0", "1.1.1"));
    refused(&generations, "the signature by `ann` does not fit");
    // Good at last.
    place.sign("b", &place.bob);
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    assert_eq!(event.signers["b"], ["bob"]);
}

#[test]
fn an_unsigned_policy_makes_its_applications_unavailable_at_the_start() {
    let place = Signed::new();
    fs::remove_file(place.folder.path("a.wasm.statement")).unwrap();
    let (generations, ..) = place.folder.open();
    assert!(generations.current().unavailable()["wiki"].contains("not signed"));
}

#[test]
fn a_key_that_is_revoked_counts_no_more_though_nothing_else_changed() {
    let place = Signed::new();
    let (generations, ..) = place.folder.open();
    place.configure("signatures-required = 1", &format!("\"{}\"", place.ann.pk.to_base64()));
    refused(&generations, "is revoked");
    let (again, ..) = place.folder.open();
    assert!(again.current().unavailable()["wiki"].contains("is revoked"));
}

#[test]
fn too_few_signatures_are_refused() {
    let place = Signed::new();
    let (generations, ..) = place.folder.open();
    place.configure("signatures-required = 2", "");
    refused(&generations, "1 of the 2 signatures");
    // A further signature is a change that is noticed.
    let watched = generations.watched();
    for name in ["a", "b"] {
        let file = format!("{name}.wasm.statement.minisig");
        let first = fs::read_to_string(place.folder.path(&file)).unwrap();
        place.sign(name, &place.bob);
        let second = fs::read_to_string(place.folder.path(&file)).unwrap();
        place.folder.write(&file, first + &second);
    }
    assert_ne!(watch::fingerprint(watched.keys()), watched);
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    assert_eq!(event.signers["b"], ["ann", "bob"]);
}

#[test]
fn a_lower_version_is_refused_across_restarts_until_an_operator_allows_it() {
    let place = Signed::new();
    let versions = place.folder.path("versions.json");
    let (generations, ..) = place.folder.open();
    place.replace("1.2.0", &place.ann);
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    place.replace("1.1.0", &place.ann);
    refused(&generations, "version 1.1.0 is lower than 1.2.0");
    let (again, ..) = place.folder.open();
    assert!(again.current().unavailable()["wiki"].contains("version 1.1.0 is lower than 1.2.0"));

    let watched = generations.watched();
    assert_eq!(allow_downgrade(&versions, "b", "1.1.0").unwrap(), "1.2.0");
    assert_ne!(watch::fingerprint(watched.keys()), watched, "the operator's word is not noticed");
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    // Down once is not down for ever.
    place.replace("1.2.0", &place.ann);
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    place.replace("1.1.0", &place.ann);
    refused(&generations, "lower than 1.2.0");
}

#[test]
fn what_cannot_be_remembered_does_not_come_into_force() {
    let place = Signed::new();
    let (generations, ..) = place.folder.open();
    place.folder.write("versions.json", "not what the gateway wrote");
    place.replace("1.1.0", &place.ann);
    refused(&generations, "what was in force is not known");
    let (again, ..) = place.folder.open();
    assert!(again.current().unavailable()["wiki"].contains("what was in force is not known"));
}

#[test]
fn a_rehearsal_remembers_nothing() {
    let place = Signed::new();
    let config = config::load(&place.folder.path("vestibule.toml")).unwrap();
    let engine = Engine::new(&config.policies.limits, None).unwrap();
    let generations = Generations::rehearse(config, engine, Arc::new(ManualClock::at(1_000)), Box::new(|_| {}));
    assert_eq!(generations.current().unavailable(), BTreeMap::new());
    assert!(!place.folder.path("versions.json").exists());
}
