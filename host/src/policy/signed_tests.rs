//! What is refused where signatures are required, each for a reason of its own.

use std::{collections::BTreeMap, fs};

use minisign::KeyPair;

use super::{super::fixture, *};
use crate::config::{Limits, Revoked};

/// A signer with a key without a password.
struct Signer(KeyPair);

impl Signer {
    fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().unwrap())
    }

    fn key(&self) -> PublicKey {
        PublicKey::parse(&self.0.pk.to_base64()).unwrap()
    }

    fn sign(&self, statement: &[u8]) -> String {
        minisign::sign(None, &self.0.sk, statement, Some("file:x"), None).unwrap().to_string()
    }
}

fn trust(required: usize, keys: &[(&str, &Signer)]) -> Trust {
    let keys: BTreeMap<_, _> = keys.iter().map(|(name, signer)| ((*name).to_owned(), signer.key())).collect();
    Trust { keys, required, revoked: Vec::new() }
}

/// A folder with a component, and what may be beside it.
struct Place(tempfile::TempDir, Component);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bytes = fixture::policy("1.0.0", &[]);
        fs::write(folder.path().join("a.wasm"), &bytes).unwrap();
        let engine = super::super::Engine::new(&Limits::default(), None).unwrap();
        Self(folder, Component::check(&engine, &bytes).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("a.wasm")
    }

    fn write(&self, statement: &[u8], signatures: &str) {
        fs::write(statement_path(&self.path()), statement).unwrap();
        fs::write(signatures_path(&self.path()), signatures).unwrap();
    }

    fn vouched(&self, trust: &Trust) -> Result<Vec<String>, SignatureError> {
        let vouched = vouched(trust, &self.path(), self.1.digest(), "fixture").map_err(|(_, error)| error)?;
        vouched.agrees(self.1.manifest())?;
        Ok(vouched.signers)
    }
}

#[test]
fn takes_what_enough_keys_have_signed() {
    let (place, ann, bob) = (Place::new(), Signer::new(), Signer::new());
    let statement = Statement::of(&place.1).to_bytes();
    place.write(&statement, &[ann.sign(&statement), bob.sign(&statement)].join("\n"));
    assert_eq!(place.vouched(&trust(2, &[("ann", &ann), ("bob", &bob)])).unwrap(), ["ann", "bob"]);
    // Who is not trusted does no harm beside who is.
    assert_eq!(place.vouched(&trust(1, &[("bob", &bob)])).unwrap(), ["bob"]);
}

#[test]
fn refuses_what_is_not_signed() {
    let (place, ann) = (Place::new(), Signer::new());
    let trust = trust(1, &[("ann", &ann)]);
    assert!(matches!(place.vouched(&trust), Err(SignatureError::Unsigned { .. })));
    fs::write(statement_path(&place.path()), Statement::of(&place.1).to_bytes()).unwrap();
    let error = place.vouched(&trust).unwrap_err();
    assert!(error.to_string().contains("a.wasm.statement.minisig"), "{error}");
}

#[test]
fn one_key_that_signs_twice_counts_once() {
    let (place, ann, bob) = (Place::new(), Signer::new(), Signer::new());
    let statement = Statement::of(&place.1).to_bytes();
    place.write(&statement, &[ann.sign(&statement), ann.sign(&statement)].concat());
    let error = place.vouched(&trust(2, &[("ann", &ann), ("bob", &bob)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "1 of the 2 signatures that are required: signed by ann (key {}); not signed by bob (key {})",
            ann.key().id(),
            bob.key().id()
        )
    );
}

#[test]
fn refuses_every_changed_byte_of_statement_and_signature() {
    let (place, ann) = (Place::new(), Signer::new());
    let trust = trust(1, &[("ann", &ann)]);
    let (statement, signature) = {
        let statement = Statement::of(&place.1).to_bytes();
        let signature = ann.sign(&statement);
        (statement, signature)
    };
    for byte in 0..statement.len() {
        let mut changed = statement.clone();
        changed[byte] ^= 1;
        place.write(&changed, &signature);
        let error = place.vouched(&trust).unwrap_err();
        let altered = Fault::Altered { name: "ann".to_owned() };
        let SignatureError::TooFew { signed, required: 1, faults, .. } = error else { panic!("byte {byte}: {error}") };
        assert_eq!((signed, faults), (vec![], vec![altered]), "byte {byte}");
    }
    // The untrusted comment is called so for a reason; everything behind it counts.
    let from = signature.find('\n').unwrap() + 1;
    for byte in from..signature.trim_end().len() {
        let mut changed = signature.clone().into_bytes();
        changed[byte] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        place.write(&statement, &changed);
        assert!(place.vouched(&trust).is_err(), "byte {byte}");
    }
}

#[test]
fn refuses_keys_that_are_unknown_or_revoked() {
    let (place, ann, bob) = (Place::new(), Signer::new(), Signer::new());
    let statement = Statement::of(&place.1).to_bytes();
    place.write(&statement, &ann.sign(&statement));
    let faults = |trust: &Trust| match place.vouched(trust) {
        Err(SignatureError::TooFew { signed, faults, .. }) if signed.is_empty() => faults,
        other => panic!("{other:?}"),
    };
    let id = ann.key().id();
    assert_eq!(faults(&trust(1, &[("bob", &bob)])), [Fault::Unknown { id: id.clone() }]);
    for revoked in [Revoked::Id(id.clone()), Revoked::Key(ann.key())] {
        let trust = Trust { revoked: vec![revoked], ..trust(1, &[("ann", &ann), ("bob", &bob)]) };
        assert_eq!(faults(&trust), [Fault::Revoked { id: id.clone() }]);
    }
}

#[test]
fn refuses_a_statement_about_something_else() {
    let (place, ann) = (Place::new(), Signer::new());
    let trust = trust(1, &[("ann", &ann)]);
    let good = Statement::of(&place.1);
    let said = |change: &dyn Fn(&mut Statement)| {
        let mut statement = good.clone();
        change(&mut statement);
        let bytes = statement.to_bytes();
        place.write(&bytes, &ann.sign(&bytes));
        place.vouched(&trust).unwrap_err()
    };
    let error = said(&|it| it.component = format!("sha256:{}", "0".repeat(64)));
    assert!(matches!(error, SignatureError::OtherComponent { .. }), "{error}");
    let error = said(&|it| it.contract = "vestibule:policy@0.2.0".to_owned());
    assert!(matches!(error, SignatureError::OtherContract { .. }), "{error}");
    let error = said(&|it| it.name = "another".to_owned());
    assert!(matches!(error, SignatureError::OtherPolicy { .. }), "{error}");
    let error = said(&|it| it.version = "1.0.1".to_owned());
    assert!(matches!(error, SignatureError::OtherManifest { key: "version", .. }), "{error}");
    let error = said(&|it| it.kind = "vestibule-policy-statement/2".to_owned());
    assert!(matches!(error, SignatureError::Malformed(_)), "{error}");
}

#[test]
fn a_signed_component_does_not_stand_in_for_another_policy() {
    let (place, ann) = (Place::new(), Signer::new());
    let statement = Statement::of(&place.1).to_bytes();
    place.write(&statement, &ann.sign(&statement));
    let trust = trust(1, &[("ann", &ann)]);
    let (_, error) = vouched(&trust, &place.path(), place.1.digest(), "domain-restriction").unwrap_err();
    assert!(matches!(error, SignatureError::OtherPolicy { .. }), "{error}");
}

#[test]
fn refuses_what_is_no_list_of_signatures() {
    let (place, ann) = (Place::new(), Signer::new());
    let trust = trust(1, &[("ann", &ann)]);
    let statement = Statement::of(&place.1).to_bytes();
    let signature = ann.sign(&statement);
    let lines: Vec<&str> = signature.lines().collect();
    for wrong in ["", "x", &lines[..3].join("\n"), &format!("{signature}\nmore"), &signature.repeat(33)] {
        place.write(&statement, wrong);
        assert!(matches!(place.vouched(&trust), Err(SignatureError::Signatures(_))), "{wrong}");
    }
}
