//! What is refused before anything of a pack is loaded.

use std::collections::BTreeMap;

use minisign::KeyPair;
use proptest::prelude::*;

use super::*;
use crate::{
    config::{Limits, PublicKey, Revoked},
    policy::{artifact::Form, signed::Statement},
};

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
        minisign::sign(Some(&self.0.pk), &self.0.sk, statement, Some("pack"), Some("remark")).unwrap().to_string()
            + "\n"
    }
}

fn trust(required: usize, keys: &[(&str, &Signer)]) -> Trust {
    let keys: BTreeMap<_, _> = keys.iter().map(|(name, signer)| ((*name).to_owned(), signer.key())).collect();
    Trust { keys, required, revoked: Vec::new() }
}

const CONTENTS: &[&[u8]] = &[b"{\"manifest\":1}", b"{}", b"native code"];

fn policy(name: &str) -> PackedPolicy {
    let length = |part: usize| CONTENTS[part].len() as u64;
    PackedPolicy {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        component: "c".repeat(64),
        settings: "5".repeat(64),
        form: Form::Records,
        signers: vec!["bob".to_owned()],
        manifest_bytes: length(0),
        settings_bytes: length(1),
        code_bytes: length(2),
    }
}

fn draft() -> Draft {
    Draft::with("1.0.0", MadeFor::here(&Limits::default()), vec![policy("a")], CONTENTS.concat())
}

/// A pack with this statement, signed whatever it says.
fn pack_of(statement: &[u8], contents: &[u8], signer: &Signer) -> Vec<u8> {
    [head(statement, signer.sign(statement).as_bytes()).unwrap(), contents.to_owned()].concat()
}

fn good(signer: &Signer) -> Vec<u8> {
    pack_of(&draft().statement().to_bytes(), &CONTENTS.concat(), signer)
}

/// The statement with a part of its text replaced.
fn said(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(draft().statement().to_bytes()).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[test]
fn opens_what_was_packed_and_signed() {
    let ann = Signer::new();
    let pack = Pack::open(&trust(1, &[("ann", &ann)]), good(&ann)).unwrap();
    assert_eq!(pack.signers(), ["ann"]);
    assert_eq!(pack.statement(), draft().statement());
    assert_eq!(pack.statement().fits(&Limits::default()), Ok(()));
    let packed: Vec<_> = pack.policies().map(|it| [it.manifest, it.settings, it.code]).collect();
    assert_eq!(packed, [CONTENTS]);
    assert_eq!(draft().signed(ann.sign(&draft().statement().to_bytes()).as_bytes()).unwrap().len(), good(&ann).len());
}

#[test]
fn a_pack_of_which_any_bit_was_changed_is_refused() {
    let ann = Signer::new();
    let (good, trust) = (good(&ann), trust(1, &[("ann", &ann)]));
    for byte in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[byte] ^= 1 << bit;
            assert!(Pack::open(&trust, changed).is_err(), "bit {bit} of byte {byte}");
        }
    }
}

#[test]
fn a_pack_that_is_cut_or_has_more_is_refused() {
    let ann = Signer::new();
    let (good, trust) = (good(&ann), trust(1, &[("ann", &ann)]));
    for length in 0..good.len() {
        assert!(Pack::open(&trust, good[..length].to_owned()).is_err(), "length {length}");
    }
    for more in [b"\0".as_slice(), b"\n", &good] {
        let error = Pack::open(&trust, [&good, more].concat()).unwrap_err();
        assert!(matches!(error, PackError::Damaged(_)), "{error}");
    }
}

#[test]
fn whoever_makes_the_head_whole_again_does_not_make_the_signature_good() {
    let (ann, trust_in) = (Signer::new(), |signer: &Signer| trust(1, &[("ann", signer)]));
    let good = good(&ann);
    let (statement, signatures) = statement_and_signatures(&good).unwrap();
    let other = said("1.0.0", "9.0.0");
    assert_ne!(other, statement);
    let forged = [head(&other, signatures).unwrap(), CONTENTS.concat()].concat();
    let error = Pack::open(&trust_in(&ann), forged).unwrap_err();
    assert!(
        matches!(&error, PackError::TooFew { signed, faults, .. } if signed.is_empty() && matches!(faults[..], [Fault::Altered { .. }]))
    );
    // Other contents below a statement that was signed.
    let swapped = [head(statement, signatures).unwrap(), CONTENTS.concat().to_ascii_uppercase()].concat();
    let error = Pack::open(&trust_in(&ann), swapped).unwrap_err();
    assert_eq!(error, PackError::Damaged("its contents are not those that were signed"));
}

#[test]
fn other_keys_revoked_keys_and_too_few_keys_do_not_vouch() {
    let (ann, bob, eve) = (Signer::new(), Signer::new(), Signer::new());
    let both = [("ann", &ann), ("bob", &bob)];
    let error = Pack::open(&trust(1, &both), good(&eve)).unwrap_err();
    assert!(
        matches!(&error, PackError::TooFew { faults, .. } if matches!(faults[..], [Fault::Unknown { .. }])),
        "{error}"
    );
    let revoked = Trust { revoked: vec![Revoked::Key(ann.key())], ..trust(1, &both) };
    let error = Pack::open(&revoked, good(&ann)).unwrap_err();
    assert!(
        matches!(&error, PackError::TooFew { faults, .. } if matches!(faults[..], [Fault::Revoked { .. }])),
        "{error}"
    );
    let error = Pack::open(&trust(2, &both), good(&ann)).unwrap_err();
    assert!(error.to_string().starts_with("1 of the 2 signatures that are required"), "{error}");
    // One key that signs twice counts once; the other one makes two.
    let statement = draft().statement().to_bytes();
    let twice = with_signatures(&good(&ann), (ann.sign(&statement) + &ann.sign(&statement)).as_bytes()).unwrap();
    assert!(matches!(Pack::open(&trust(2, &both), twice), Err(PackError::TooFew { signed, .. }) if signed.len() == 1));
    let two = with_signatures(&good(&ann), (ann.sign(&statement) + &bob.sign(&statement)).as_bytes()).unwrap();
    assert_eq!(Pack::open(&trust(2, &both), two).unwrap().signers(), ["ann", "bob"]);
}

#[test]
fn nobody_vouches_for_a_pack_without_a_signature_whatever_the_threshold_is() {
    let ann = Signer::new();
    for signatures in ["", "\n", "no signature"] {
        let bytes = with_signatures(&good(&ann), signatures.as_bytes()).unwrap();
        for required in [0, 1] {
            assert!(Pack::open(&trust(required, &[("ann", &ann)]), bytes.clone()).is_err(), "{signatures:?}");
        }
    }
    assert!(matches!(Pack::open(&trust(0, &[]), good(&ann)), Err(PackError::TooFew { required: 1, .. })));
}

#[test]
fn what_a_key_signed_about_a_component_is_no_pack_nor_the_other_way_round() {
    let ann = Signer::new();
    let about_component = format!(
        "{{\"kind\":\"vestibule-policy-statement/1\",\"name\":\"a\",\"version\":\"1.0.0\",\"component\":\"sha256:{}\",\
         \"contract\":\"vestibule:policy@0.1.0\"}}",
        "c".repeat(64)
    );
    Statement::parse(about_component.as_bytes()).unwrap();
    let error = Pack::open(&trust(1, &[("ann", &ann)]), pack_of(about_component.as_bytes(), b"", &ann)).unwrap_err();
    assert!(error.to_string().contains("its kind is `vestibule-policy-statement/1`"), "{error}");
    assert!(Statement::parse(&draft().statement().to_bytes()).is_err());
}

#[test]
fn a_statement_that_is_none_is_refused_though_it_is_signed() {
    let ann = Signer::new();
    let trust = trust(1, &[("ann", &ann)]);
    let contents = CONTENTS.concat();
    for (statement, says) in [
        (b"".to_vec(), "malformed"),
        (b"{}".to_vec(), "kind"),
        (b"[1]".to_vec(), "malformed"),
        (said("statement/1", "statement/2"), "expected `vestibule-pack-statement/1`"),
        (said("\"version\": \"1.0.0\"", "\"version\": \"1\""), "no semantic version"),
        (said("\"name\": \"a\"", "\"name\": \"pack\""), "called `pack`"),
        (said("\"signers\"", "\"more\": 1, \"signers\""), "unknown field"),
        (said("\"code-bytes\": 11", "\"code-bytes\": 12"), "cut"),
        (said("\"code-bytes\": 11", "\"code-bytes\": 18446744073709551615"), "cut"),
        (said("\"code-bytes\": 11", "\"code-bytes\": -1"), "malformed"),
        (said("\"form\": \"records\"", "\"form\": \"native\""), "unknown variant"),
    ] {
        let error = Pack::open(&trust, pack_of(&statement, &contents, &ann)).unwrap_err();
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    let twice = Draft::with("1.0.0", MadeFor::here(&Limits::default()), vec![policy("a"), policy("a")], Vec::new());
    let error = PackStatement::parse(&twice.statement().to_bytes()).unwrap_err();
    assert!(error.to_string().contains("names a and a twice"), "{error}");
}

#[test]
fn a_pack_for_another_gateway_is_refused_and_says_what_differs() {
    let here = MadeFor::here(&Limits::default());
    let limits = Limits::default();
    for (from, to, says) in [
        (here.vestibule.as_str(), "9.9.9", "Vestibule 9.9.9"),
        (&here.wasmtime, "47.0.0", "wasmtime 47.0.0"),
        (&here.target, "riscv64-linux", "the target riscv64-linux"),
        (&here.contract, "vestibule:policy@0.2.0", "the contract vestibule:policy@0.2.0"),
        (
            "\"memory-bytes-max\": 4194304",
            "\"memory-bytes-max\": 8388608",
            "`policies.limits.memory-bytes-max` 8388608",
        ),
    ] {
        let key = if from.starts_with('"') { from.to_owned() } else { format!("\"{from}\"") };
        let to = if from.starts_with('"') { to.to_owned() } else { format!("\"{to}\"") };
        let statement = PackStatement::parse(&said(&key, &to)).unwrap();
        let error = statement.fits(&limits).unwrap_err();
        assert!(error.to_string().starts_with(&format!("the pack was made for {says}, ")), "{error}");
    }
    let mut other = Limits::default();
    other.interpreter.stack_bytes_max += 65_536;
    let error = draft().statement().fits(&other).unwrap_err();
    assert!(error.to_string().contains("`policies.limits.interpreter.stack-bytes-max`"), "{error}");
    // What is no part of the code may differ.
    assert_eq!(draft().statement().fits(&Limits { fuel: 1000, decisions_max: 7, ..limits }), Ok(()));
}

#[test]
fn names_the_wasmtime_that_it_is_made_of() {
    let lock: toml::Table = include_str!("../../../../Cargo.lock").parse().unwrap();
    let versions: Vec<&str> = lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| package["name"].as_str() == Some("wasmtime"))
        .map(|package| package["version"].as_str().unwrap())
        .collect();
    assert_eq!(versions, [MadeFor::here(&Limits::default()).wasmtime]);
}

#[test]
fn says_what_is_there_in_the_place_of_a_pack() {
    let refused = |bytes: &[u8]| Pack::open(&trust(1, &[]), bytes.to_owned()).unwrap_err();
    for (bytes, found) in [
        (b"".as_slice(), "an empty file"),
        (b"\0asm\x0d\0\x01\0", "a WebAssembly component"),
        (b"\x7fELF\x02", "a native program"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"vestibule", "text"),
    ] {
        let error = refused(bytes);
        let is_it = matches!(error, PackError::NotAPack { found: it } if it == found)
            || matches!(error, PackError::Damaged(_)) && bytes == b"vestibule";
        assert!(is_it, "{found}: {error}");
    }
    let error = refused(b"vestibule-pack/2\nwhatever the future has");
    assert!(matches!(&error, PackError::OtherFormat { found } if found == "vestibule-pack/2"), "{error}");
}

#[test]
fn lengths_are_promises_that_cost_nothing() {
    let refused = |lengths: [u32; 2]| {
        let head = [MAGIC, &lengths[0].to_le_bytes(), &lengths[1].to_le_bytes(), b"{}"].concat();
        Pack::open(&trust(1, &[]), head).unwrap_err()
    };
    for lengths in [[u32::MAX, u32::MAX], [u32::MAX, 0], [0, u32::MAX], [1 << 20, 64 << 10], [2, 1]] {
        assert!(matches!(refused(lengths), PackError::Damaged(_)), "{lengths:?}");
    }
    let long = vec![b' '; STATEMENT_BYTES_MAX + 1];
    assert!(head(&long, b"").is_err());
}

proptest! {
    #[test]
    fn whatever_follows_a_packs_first_line_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let ann = Signer::new();
        let bytes = [MAGIC, &bytes].concat();
        prop_assert!(Pack::open(&trust(1, &[("ann", &ann)]), bytes).is_err());
    }
}
