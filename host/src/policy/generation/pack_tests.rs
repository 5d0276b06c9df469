//! Generations whose policies were compiled elsewhere.

use std::fs;

use minisign::KeyPair;

use super::{
    super::{Draft, Pack, PackError, allow_downgrade, with_signatures},
    tests::{Folder, marks},
    *,
};
use crate::policy::statement_and_signatures;

/// Where policies are packed, the node that runs them, and who signs.
struct Edge {
    packer: Folder,
    node: Folder,
    ann: KeyPair,
    bob: KeyPair,
}

impl Edge {
    fn new() -> Self {
        let pair = || KeyPair::generate_unencrypted_keypair().unwrap();
        let new = Self { packer: Folder::new(), node: Folder::new(), ann: pair(), bob: pair() };
        // Nothing of a component is on the node.
        for file in ["a.wasm", "b.wasm", "a.toml", "b.toml"] {
            fs::remove_file(new.node.path(file)).unwrap();
        }
        new.configure("", "");
        new.put(&new.pack("1.0.0"));
        new
    }

    /// The node's configuration, with `more` below `[policies.pack]`.
    fn configure(&self, more: &str, limits: &str) {
        let (ann, bob) = (self.ann.pk.to_base64(), self.bob.pk.to_base64());
        self.node.write(
            "vestibule.toml",
            format!(
                "[server]\npublic-url = \"https://login.example.com\"\nlisten = \"127.0.0.1:0\"\n\
                 trusted-proxies = [\"127.0.0.1\"]\n\
                 [policies]\nversions-file = \"versions.json\"\nlimits = {{ deadline-ms = 10000{limits} }}\n\
                 [policies.pack]\nfile = \"generation.pack\"\ntrusted-keys = {{ ann = \"{ann}\", bob = \"{bob}\" }}\n{more}\n\
                 [upstreams.main]\npreset = \"keycloak\"\nbase-url = \"https://id.example.com\"\nrealm = \"r\"\n\
                 client-id = \"c\"\nclient-secret = \"s\"\n\
                 [applications.wiki]\nupstreams = [\"main\"]\nchain = [\"a\", \"b\"]\n\
                 url = \"https://wiki.example.com/\"\n[applications.wiki.forward-auth]\n"
            ),
        );
    }

    fn draft(&self, version: &str) -> Draft {
        let policies = config::load_policies(&self.packer.path("vestibule.toml")).unwrap();
        let engine = Engine::new(&policies.limits, None).unwrap();
        Draft::of(&engine, &policies, version).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What the packer's folder has, signed by Ann.
    fn pack(&self, version: &str) -> Vec<u8> {
        let draft = self.draft(version);
        draft.signed(sign(&self.ann, &draft.statement().to_bytes()).as_bytes()).unwrap()
    }

    fn put(&self, pack: &[u8]) {
        self.node.write("new.pack", pack);
        fs::rename(self.node.path("new.pack"), self.node.path("generation.pack")).unwrap();
    }
}

fn sign(signer: &KeyPair, statement: &[u8]) -> String {
    minisign::sign(Some(&signer.pk), &signer.sk, statement, None, None).unwrap().to_string() + "\n"
}

/// The new files are refused, for what it `says`, and what was in force is.
fn refused(generations: &Generations, says: &str) {
    let before = generations.current();
    let (digest, marked) = (before.digest().to_owned(), marks(&before));
    let event = generations.reload();
    assert_eq!((event.outcome, event.generation), (Outcome::Refused, before.number()), "{says}: {event}");
    assert!(event.problems.iter().any(|problem| problem.to_string().contains(says)), "{says}: {event}");
    assert_eq!((generations.current().digest(), marks(&generations.current())), (&*digest, marked), "{says}");
}

#[test]
fn decides_as_the_components_do_that_were_packed_under_the_same_names_and_digests() {
    let edge = Edge::new();
    let (packed, _, events) = edge.node.open();
    let event = events.recv().unwrap();
    assert_eq!(event.problems, [], "{event}");
    assert_eq!(event.signers["a"], ["ann"]);
    let (whole, ..) = edge.packer.open();
    assert_eq!(marks(&packed.current()), marks(&whole.current()));
    assert!(packed.current().policies().eq(whole.current().policies()));
    // What a recording and a receipt name.
    let policies = |generations: &Generations| {
        let generation = generations.current();
        let recipe = generation.recipe("wiki").unwrap();
        recipe.policies.iter().map(|it| (it.policy.clone(), it.settings.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(policies(&packed), policies(&whole));
}

#[test]
fn a_new_pack_comes_into_force_and_what_did_not_change_is_kept() {
    let edge = Edge::new();
    let (generations, ..) = edge.node.open();
    let watched = generations.watched();
    assert_eq!(watch::fingerprint(watched.keys()), watched);
    edge.packer.write("b.toml", "mark = \"new\"\n");
    edge.put(&edge.pack("1.0.1"));
    assert_ne!(watch::fingerprint(watched.keys()), watched, "the pack is not watched");
    let event = generations.reload();
    assert_eq!(event.outcome, Outcome::InForce, "{event}");
    assert_eq!((event.loaded, event.reused), (vec!["b".to_owned()], vec!["a".to_owned()]));
    assert_eq!(marks(&generations.current()), ["one", "new"]);
}

#[test]
fn what_is_not_whole_not_signed_or_not_for_this_node_is_refused_and_what_is_in_force_stays() {
    let edge = Edge::new();
    let (generations, ..) = edge.node.open();
    let good = fs::read(edge.node.path("generation.pack")).unwrap();
    let (statement, _) = statement_and_signatures(&good).unwrap();

    edge.put(b"");
    refused(&generations, "found an empty file");
    edge.put(&good[..good.len() - 1]);
    refused(&generations, "the pack is damaged");
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    edge.put(&changed);
    refused(&generations, "its contents are not those that were signed");
    edge.put(
        &with_signatures(&good, sign(&KeyPair::generate_unencrypted_keypair().unwrap(), statement).as_bytes()).unwrap(),
    );
    refused(&generations, "is unknown");
    fs::remove_file(edge.node.path("generation.pack")).unwrap();
    refused(&generations, "failed to open the file");
    fs::create_dir(edge.node.path("generation.pack")).unwrap();
    refused(&generations, "expected a file");
    fs::remove_dir(edge.node.path("generation.pack")).unwrap();

    edge.put(&good);
    edge.configure("signatures-required = 2", "");
    refused(&generations, "1 of the 2 signatures that are required");
    edge.configure(&format!("revoked-keys = [\"{}\"]", edge.ann.pk.to_base64()), "");
    refused(&generations, "is revoked");
    // Bob vouches for it as well.
    let both = sign(&edge.ann, statement) + &sign(&edge.bob, statement);
    edge.put(&with_signatures(&good, both.as_bytes()).unwrap());
    let event = generations.reload();
    assert_eq!(event.signers["b"], ["bob"], "{event}");
}

#[test]
fn a_node_that_starts_with_a_bad_pack_denies_everybody_and_says_why() {
    let edge = Edge::new();
    edge.put(b"\x7fELF native code that nobody signed");
    let (generations, _, events) = edge.node.open();
    let event = events.recv().unwrap();
    assert_eq!(event.problems.len(), 1, "{event}");
    assert!(event.unavailable["wiki"].contains("generation.pack: expected a pack"), "{event}");
    // It serves as soon as there is a good one.
    edge.put(&edge.pack("1.0.0"));
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    assert_eq!(marks(&generations.current()), ["one", "one"]);
}

#[test]
fn a_pack_for_other_limits_is_refused() {
    let edge = Edge::new();
    edge.configure("", ", memory-bytes-max = 8388608");
    let (generations, ..) = edge.node.open();
    let why = &generations.current().unavailable()["wiki"];
    assert!(why.contains("made for `policies.limits.memory-bytes-max` 4194304, this gateway has 8388608"), "{why}");
}

#[test]
fn a_pack_without_a_policy_that_a_chain_names_is_refused_and_names_it() {
    let edge = Edge::new();
    let (generations, ..) = edge.node.open();
    edge.node.change_configuration("chain = [\"a\", \"b\"]", "chain = [\"a\", \"c\"]");
    refused(&generations, "the chain names it, and the pack does not have it");
    let (again, ..) = edge.node.open();
    assert_eq!(again.current().unavailable()["wiki"], "policy c is not configured");
}

#[test]
fn a_lower_version_of_the_pack_is_refused_across_restarts_until_an_operator_allows_it() {
    let edge = Edge::new();
    let old = edge.pack("1.0.0");
    edge.packer.write("b.toml", "mark = \"new\"\n");
    edge.put(&edge.pack("1.10.0"));
    let (generations, ..) = edge.node.open();
    edge.put(&old);
    refused(&generations, "version 1.0.0 is lower than 1.10.0");
    let (again, ..) = edge.node.open();
    assert!(again.current().unavailable()["wiki"].contains("allow-downgrade pack --to 1.0.0"));
    allow_downgrade(&edge.node.path("versions.json"), "pack", "1.0.0").unwrap();
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    assert_eq!(marks(&generations.current()), ["one", "one"]);
}

#[test]
fn a_signed_pack_whose_parts_do_not_fit_together_is_refused() {
    let edge = Edge::new();
    let (generations, ..) = edge.node.open();
    let good = edge.pack("1.0.0");
    let (statement, _) = statement_and_signatures(&good).unwrap();
    let statement = String::from_utf8(statement.to_owned()).unwrap();
    let contents = &good[good.len() - edge.draft("1.0.0").contents().len()..];
    // Ann signs whatever she is given: the digest of the contents is made to fit.
    let resigned = |statement: String, contents: &[u8]| {
        let from = statement.find("sha256:").unwrap();
        let statement = statement.replacen(&statement[from..from + 71], &format!("sha256:{}", sha256(contents)), 1);
        pack::sealed(statement.as_bytes(), sign(&edge.ann, statement.as_bytes()).as_bytes(), contents)
    };
    edge.put(&resigned(statement.clone(), contents).unwrap());
    assert_eq!(generations.reload().outcome, Outcome::Unchanged);

    let settings = statement.replacen("\"settings\": \"", "\"settings\": \"0", 1);
    edge.put(&resigned(settings, contents).unwrap());
    refused(&generations, "policy a: the settings are not what the pack's statement says");
    let version = statement.replace("\"version\": \"0.1.0\"", "\"version\": \"0.1.1\"");
    edge.put(&resigned(version, contents).unwrap());
    refused(&generations, "policy a: the manifest's version is not what the pack's statement says");
    let form = statement.replacen("\"form\": \"records\"", "\"form\": \"json\"", 1);
    edge.put(&resigned(form, contents).unwrap());
    refused(&generations, "policy a: ");
    // Contents of the right length that are no native code.
    let mut other = contents.to_owned();
    let at = other.windows(4).position(|bytes| bytes == b"\x7fELF").unwrap();
    other[at..at + 4].fill(0);
    edge.put(&resigned(statement.clone(), &other).unwrap());
    refused(&generations, "policy a: its native code does not run here");
    // Native code of another wasmtime that says so itself.
    let mut other = contents.to_owned();
    let at = other.windows(3).position(|bytes| bytes == b"\x0248").unwrap();
    other[at..at + 3].copy_from_slice(b"\x0247");
    edge.put(&resigned(statement, &other).unwrap());
    refused(&generations, "incompatible version '47'");
}

#[test]
fn a_link_that_is_swapped_is_a_change_and_what_it_leads_to_is_held_to_the_same() {
    let edge = Edge::new();
    let (good, link) = (edge.node.path("good.pack"), edge.node.path("generation.pack"));
    fs::rename(&link, &good).unwrap();
    std::os::unix::fs::symlink(&good, &link).unwrap();
    let (generations, ..) = edge.node.open();
    assert_eq!(marks(&generations.current()), ["one", "one"]);
    let watched = generations.watched();
    edge.node.write("bad.pack", b"bad");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(edge.node.path("bad.pack"), &link).unwrap();
    assert_ne!(watch::fingerprint(watched.keys()), watched);
    refused(&generations, "expected a pack");
}

#[test]
fn no_generation_comes_back_whose_packs_signers_are_revoked() {
    let edge = Edge::new();
    let (generations, ..) = edge.node.open();
    edge.packer.write("b.toml", "mark = \"new\"\n");
    let draft = edge.draft("1.0.1");
    edge.put(&draft.signed(sign(&edge.bob, &draft.statement().to_bytes()).as_bytes()).unwrap());
    edge.configure(&format!("revoked-keys = [\"{}\"]", edge.ann.pk.to_base64()), "");
    assert_eq!(generations.reload().outcome, Outcome::InForce);
    let refused = generations.roll_back(None, "a test").unwrap_err();
    assert!(matches!(&refused, RollbackError::NotTrusted { number: 1, .. }), "{refused}");
    assert_eq!(marks(&generations.current()), ["one", "new"]);
}

#[test]
fn nothing_is_packed_of_policies_that_are_not_good() {
    let edge = Edge::new();
    edge.packer.write("b.toml", "mark = \"x-refused\"\n");
    let policies = config::load_policies(&edge.packer.path("vestibule.toml")).unwrap();
    let engine = Engine::new(&policies.limits, None).unwrap();
    let error = Draft::of(&engine, &policies, "1.0.0").unwrap_err();
    assert!(error.to_string().contains("no mark begins with x"), "{error}");
    assert!(Draft::of(&engine, &policies, "one").unwrap_err().to_string().contains("no semantic version"));
    let node = config::load_policies(&edge.node.path("vestibule.toml")).unwrap();
    assert!(Draft::of(&engine, &node, "1.0.0").is_err(), "a pack of a pack");
    assert!(matches!(Pack::open(&node.pack.unwrap().trust, Vec::new()), Err(PackError::NotAPack { .. })));
}
