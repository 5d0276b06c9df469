//! Requirements on the recording: whatever is done to its files is found, with the place; nothing that is written
//! down loses or shows more than it should.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::{Clock as _, ManualClock},
    config,
    decision::{
        Account, Allowance, Answered, Asked, Attempt, Claim, Conclusion, Decided, Denial, DenyCode, Difference,
        Direction, Found, Granted, Held, Hook, Ingredient, PolicyRef, Profile, Recipe, Recorded, Redirect, Search,
        SessionTerms, Value, WayChosen,
    },
    identity::Email,
    keys::KeyRing,
    policy::testing::{context, identity},
    session::testing,
};

/// 2023-11-14, 22:13:20 UTC.
const NOW: u64 = 1_700_000_000;

struct Scene {
    folder: TempDir,
    clock: Arc<ManualClock>,
    keys: Arc<KeyRing>,
    config: config::Recording,
}

impl Scene {
    fn new() -> Self {
        Self::redacting(&[], true)
    }

    fn redacting(redact: &[&str], keeps_domain: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        let keys = testing::keys();
        let config = config::Recording {
            directory: folder.path().join("recording"),
            keep_days: 3,
            redact: redact.iter().map(|name| (*name).to_owned()).collect(),
            keeps_domain,
            queue_max: 16,
        };
        Self { folder, clock, keys, config }
    }

    fn log(&self) -> Log {
        Log::open(&self.config, Arc::clone(&self.keys), self.clock.clone()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(&self.config.directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "vrec"))
            .collect();
        files.sort();
        files
    }

    /// Everything that opens, and what is wrong.
    fn read(&self, range: Range) -> (Vec<Entry>, Summary) {
        read_with(&self.config.directory, &self.keys, range)
    }

    /// The places that are wrong, as `LINE FAULT`.
    fn damage(&self) -> Vec<String> {
        let (_, summary) = self.read(Range::default());
        summary.damage.iter().map(|damage| format!("{} {:?}", damage.line, damage.why)).collect()
    }
}

fn read_with(directory: &Path, keys: &KeyRing, range: Range) -> (Vec<Entry>, Summary) {
    let mut reader = Reader::open(directory, keys, range).unwrap();
    let (mut entries, mut damage) = (Vec::new(), Vec::new());
    while let Some(batch) = reader.next_batch().unwrap() {
        for line in &batch.lines {
            match line.open(keys) {
                Ok(entry) => entries.push(entry),
                Err(place) => damage.push(place),
            }
        }
    }
    let mut summary = reader.summary().clone();
    summary.damage.extend(damage);
    summary.damage.sort();
    (entries, summary)
}

fn decided(login: &str) -> Decided {
    let mut identity = identity();
    identity.subject = format!("subject-of-{login}");
    identity.email = Some(Email { address: format!("{login}@example.com"), verified: true });
    identity.claims.insert("phone".into(), json!(4_123_456_789_u64));
    identity.claims.insert("department".into(), json!("it"));
    // Such a name is a name of ours elsewhere.
    identity.claims.insert("login".into(), json!("octocat"));
    Decided {
        request: "request-1".into(),
        generation: Arc::from("generation-1"),
        asked: Asked {
            context: crate::decision::Context {
                login: login.to_owned(),
                address: Some("192.0.2.7".into()),
                facts: vec![Claim {
                    name: "request.target".into(),
                    value: Value::Text(format!("https://wiki.example.org/?for={login}@example.com")),
                }],
                ..context()
            },
            identity,
            canary: false,
            routed: None,
            held: Held::Yes,
            may_step_up: true,
            elapsed: 3,
        },
        found: Found {
            reached_groups: true,
            has_directory: true,
            linked: Some(Ok(None)),
            account: Some(Search {
                key: None,
                found: Ok(Some(Account {
                    active: true,
                    groups: vec!["staff".into()],
                    attributes: vec![
                        Claim { name: "email".into(), value: Value::Text(format!("{login}@example.com")) },
                        Claim { name: "phone".into(), value: Value::Integer(4_123_456_789) },
                    ],
                })),
            }),
            ..Found::default()
        },
        conclusion: Conclusion::Admitted(Box::new(Granted {
            profile: Profile { email: Some(format!("{login}@example.com")), ..Profile::default() },
            groups: Difference { groups: vec!["staff".into()], ..Difference::default() },
            terms: SessionTerms { lifetime: 60, idle: 60, remember: false },
        })),
        answers: vec![Answered {
            policy: "p".into(),
            hook: Hook::Admit,
            answer: Recorded::of(
                &json!({ "allow": { "code": "fine", "detail": format!("{login}@example.com is in") } }),
            ),
            fuel: 100,
            log: vec![],
            dropped: vec![],
        }],
    }
}

fn recipe(generation: &str) -> Arc<Recipe> {
    let policy = PolicyRef { name: "p".into(), version: "1".into(), component: "c".into(), settings: "s".into() };
    let limits = Allowance {
        fuel: 1,
        memory_bytes: 1,
        table_elements: 1,
        stack_bytes: 1,
        output_bytes: 1,
        log_lines: 1,
        log_line_bytes: 1,
    };
    Arc::new(Recipe {
        generation: Arc::from(generation),
        application: "wiki".into(),
        policies: vec![Ingredient { policy, settings: Arc::from("{}") }],
        limits,
    })
}

fn noted(login: &str) -> Noted {
    Noted::Login { decided: Box::new(decided(login)), known: None, recipe: Some(recipe("generation-1")) }
}

fn logins(entries: &[Entry]) -> Vec<String> {
    let login = |entry: &Entry| match entry {
        Entry::Login(decided) => Some(decided.asked.context.login.clone()),
        _ => None,
    };
    entries.iter().filter_map(login).collect()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn write(path: &Path, lines: &[String]) {
    fs::write(path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

#[test]
fn gives_back_what_was_asked_and_decided() {
    let scene = Scene::new();
    let known = BTreeSet::from(["staff".to_owned(), "admins".to_owned()]);
    let way = WayChosen {
        request: "request-1".into(),
        generation: Arc::from("generation-1"),
        context: context(),
        attempt: Attempt { identifier: Some("ann".into()), ..Attempt::default() },
        direction: Ok(Direction::Redirect(Redirect { upstream: "corp".into(), ..Redirect::default() })),
        answers: vec![],
    };
    let with_known = |login: &str| Noted::Login {
        decided: Box::new(decided(login)),
        known: Some(known.clone()),
        recipe: Some(recipe("generation-1")),
    };
    let mut log = scene.log();
    log.append(&[Noted::Way { chosen: Box::new(way.clone()), recipe: None }, with_known("ann")], 0).unwrap();
    log.append(&[with_known("bob")], 7).unwrap();

    let mut reader = Reader::open(&scene.config.directory, &scene.keys, Range::default()).unwrap();
    let batch = reader.next_batch().unwrap().unwrap();
    let entries: Vec<Entry> = batch.lines.iter().map(|line| line.open(&scene.keys).unwrap()).collect();
    assert_eq!(entries[0], Entry::Way(Box::new(way)));
    let Entry::Login(ann) = &entries[1] else { panic!("{entries:?}") };
    let digest = ann.found.known.clone().unwrap();
    assert_eq!(batch.known.get(&digest).map(|groups| &**groups), Some(&known));
    let mut expected = decided("ann");
    expected.found.known = Some(digest);
    assert_eq!(**ann, expected);
    assert!(reader.next_batch().unwrap().is_none());
    let summary = reader.summary();
    assert_eq!((summary.dropped, summary.damage.len(), summary.files.len()), (7, 0, 1));
    assert_eq!(reader.recipe("generation-1", "wiki"), Some(&*recipe("generation-1")));
    // What was written once is not written again: opened, way, known, recipe, login, dropped, login.
    assert_eq!(lines(&scene.files()[0]).len(), 7);
}

#[test]
fn shows_nobody_without_the_key_ring_what_it_holds() {
    use std::os::unix::fs::PermissionsExt as _;
    let scene = Scene::new();
    scene.log().append(&[noted("ann")], 0).unwrap();
    let file = &scene.files()[0];
    let text = fs::read_to_string(file).unwrap();
    for secret in ["ann", "example.com", "staff", "wiki", "generation"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(file), mode(&scene.config.directory)), (0o600, 0o700));
    // Another gateway's key ring opens nothing, and forges nothing.
    let (entries, summary) = read_with(&scene.config.directory, &testing::another_ring(), Range::default());
    assert_eq!(entries, []);
    assert!(summary.damage.iter().all(|damage| damage.why == Fault::UnknownKey), "{:?}", summary.damage);
    assert_eq!(summary.damage.len(), lines(file).len() + 1);
}

#[test]
fn a_changed_byte_anywhere_is_found_at_its_line() {
    let scene = Scene::new();
    scene.log().append(&[noted("ann"), noted("bob"), noted("cid")], 0).unwrap();
    let file = scene.files()[0].clone();
    let whole = fs::read(&file).unwrap();
    assert_eq!(scene.damage(), [""; 0]);
    let mut line = 1;
    for (index, byte) in whole.iter().enumerate() {
        // Each line's first bytes and some of the rest: every kind of place.
        if index % 97 == 0 || *byte == b' ' || *byte == b'.' || *byte == b'\n' {
            let mut changed = whole.clone();
            changed[index] ^= 1;
            fs::write(&file, &changed).unwrap();
            let damage = scene.damage();
            assert!(!damage.is_empty(), "byte {index}");
            let first: u64 = damage[0].split(' ').next().unwrap().parse().unwrap();
            assert!(first == line || first == line + 1, "byte {index} of line {line}: {damage:?}");
        }
        line += u64::from(*byte == b'\n');
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(scene.damage(), [""; 0]);
}

#[test]
fn what_is_cut_put_in_or_moved_is_found_and_the_rest_can_still_be_read() {
    let scene = Scene::new();
    let names = ["ann", "bob", "cid", "dan", "eve"];
    scene.log().append(&names.map(noted), 0).unwrap();
    let file = scene.files()[0].clone();
    // opened, recipe, ann, bob, cid, dan, eve
    let whole = lines(&file);
    assert_eq!(whole.len(), 7);
    let read = |changed: &[String]| {
        write(&file, changed);
        let (entries, _) = scene.read(Range::default());
        (scene.damage(), logins(&entries).join(" "))
    };
    let without = |index: usize| {
        let mut lines = whole.clone();
        lines.remove(index);
        lines
    };
    let is = |damage: &[&str], logins: &str| (damage.iter().map(|it| (*it).to_owned()).collect(), logins.to_owned());
    assert_eq!(read(&without(3)), is(&["4 Changed", "4 LinesMissing"], "ann dan eve"));
    let mut swapped = whole.clone();
    swapped.swap(3, 4);
    assert_eq!(read(&swapped), is(&["4 Changed", "4 LinesMissing", "5 Reordered", "6 Changed"], "ann eve"));
    // A pair that is put in again would open by itself: its place says that it was there.
    let mut twice = whole.clone();
    twice.splice(5..5, [whole[3].clone(), whole[4].clone()]);
    assert_eq!(read(&twice).0, ["6 Reordered", "7 Reordered"]);
    let mut foreign = whole.clone();
    foreign.insert(4, "nonsense".into());
    assert_eq!(read(&foreign), is(&["5 Malformed", "6 Changed"], "ann bob dan eve"));
    // Cut at its end: the tip knows.
    assert_eq!(read(&whole[..5]), is(&["6 CutAtEnd"], "ann bob cid"));
    assert_eq!(read(&[]).0, ["1 CutAtEnd"]);
    // A torn end is what a crash leaves, and what stands before it is whole.
    write(&file, &whole);
    fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"8 login v1."))
        .unwrap();
    let (entries, summary) = scene.read(Range::default());
    assert_eq!((logins(&entries).len(), summary.torn_bytes, summary.damage.len()), (5, 11, 0));
}

#[test]
fn a_line_is_good_for_its_own_file_and_a_tip_for_its_own() {
    let scene = Scene::new();
    scene.log().append(&[noted("ann")], 0).unwrap();
    scene.log().append(&[noted("bob")], 0).unwrap();
    let files = scene.files();
    let [first, second] = &files[..] else { panic!("{files:?}") };
    assert_eq!(scene.damage(), [""; 0]);
    let tip = |path: &Path| PathBuf::from(format!("{}.tip", path.display()));
    let (own, other) = (fs::read(first).unwrap(), fs::read(second).unwrap());
    fs::write(second, &own).unwrap();
    assert!(!scene.damage().is_empty());
    fs::write(second, &other).unwrap();
    let good = fs::read(tip(second)).unwrap();
    fs::copy(tip(first), tip(second)).unwrap();
    assert_eq!(scene.damage(), ["4 TipChanged"]);
    fs::write(tip(second), "nonsense").unwrap();
    assert_eq!(scene.damage(), ["4 TipChanged"]);
    fs::remove_file(tip(second)).unwrap();
    assert_eq!(scene.damage(), ["4 TipMissing"]);
    fs::write(tip(second), good).unwrap();
    assert_eq!(scene.damage(), [""; 0]);
    // The end of an older file is known to the next one, even where both file and tip are old ones.
    fs::remove_file(first).unwrap();
    assert_eq!(scene.damage(), [""; 0], "the oldest may be gone: files are removed with time");
    scene.log().append(&[noted("cid")], 0).unwrap();
    fs::remove_file(second).unwrap();
    fs::write(first, &own).unwrap();
    assert_eq!(scene.damage(), ["1 FileMissing"]);
}

#[test]
fn a_file_that_was_put_back_to_an_older_state_is_found_by_the_next_one() {
    let scene = Scene::new();
    let mut log = scene.log();
    log.append(&[noted("ann")], 0).unwrap();
    let file = scene.files()[0].clone();
    let tip = PathBuf::from(format!("{}.tip", file.display()));
    let older = (fs::read(&file).unwrap(), fs::read(&tip).unwrap());
    log.append(&[noted("bob")], 0).unwrap();
    drop(log);
    scene.log().append(&[noted("cid")], 0).unwrap();
    assert_eq!(scene.damage(), [""; 0]);
    fs::write(&file, older.0).unwrap();
    fs::write(&tip, older.1).unwrap();
    assert_eq!(scene.damage(), ["4 CutAtEnd"]);
}

#[test]
fn begins_a_file_each_day_and_removes_those_that_are_too_old() {
    let scene = Scene::new();
    let mut log = scene.log();
    for day in ["mon", "tue", "wed", "thu", "fri"] {
        log.append(&[noted(day)], 0).unwrap();
        scene.clock.advance(86_400);
    }
    // Of the five days the first was removed on the fifth: it was more than three days ago.
    assert_eq!(scene.files().len(), 4);
    let (entries, summary) = scene.read(Range::default());
    assert_eq!(logins(&entries), ["tue", "wed", "thu", "fri"]);
    assert_eq!(summary.damage, []);
    let name = scene.files()[0].file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(name, "2023-11-15-0001.vrec");
    // Files that cannot have anything of the range are not read.
    let range = Range { from: Some(NOW + 3 * 86_400), to: None };
    assert_eq!(scene.read(range).1.files.len(), 2);
    // A clock that was set back does not put a file before its predecessor.
    drop(log);
    let behind = Arc::new(ManualClock::at(NOW));
    assert!(Log::open(&scene.config, Arc::clone(&scene.keys), behind).is_err());
}

#[test]
fn one_process_writes() {
    let scene = Scene::new();
    let _log = scene.log();
    let again = Log::open(&scene.config, Arc::clone(&scene.keys), scene.clock.clone());
    assert!(matches!(again, Err(RecordingError::Locked { .. })), "{again:?}");
}

#[test]
fn goes_on_in_a_new_file_after_a_failure() {
    let scene = Scene::new();
    let mut log = scene.log();
    log.append(&[noted("ann")], 0).unwrap();
    let kept = scene.folder.path().join("kept");
    fs::rename(&scene.config.directory, &kept).unwrap();
    scene.clock.advance(86_400);
    assert!(matches!(log.append(&[noted("bob")], 0), Err(RecordingError::File { .. })));
    fs::rename(&kept, &scene.config.directory).unwrap();
    log.append(&[noted("cid")], 1).unwrap();
    let (entries, summary) = scene.read(Range::default());
    assert_eq!((logins(&entries), summary.dropped, summary.damage), (vec!["ann".into(), "cid".into()], 1, vec![]));
}

#[test]
fn a_full_queue_makes_nobody_wait_and_what_is_missing_is_counted() {
    let mut scene = Scene::new();
    scene.config.queue_max = 1;
    let recorder = Recorder::open(&scene.config, Arc::clone(&scene.keys), scene.clock.clone()).unwrap();
    const NOTED: u64 = 2000;
    for number in 0..NOTED {
        recorder.note(noted(&format!("login-{number}")));
    }
    recorder.close();
    // After its end nothing waits, and nothing fails.
    recorder.note(noted("late"));
    drop(recorder);
    let (entries, summary) = scene.read(Range::default());
    assert_eq!(summary.damage, []);
    assert!(summary.dropped > 0, "a queue of one took {NOTED} decisions");
    assert_eq!(u64::try_from(entries.len()).unwrap() + summary.dropped, NOTED);
}

#[test]
fn what_is_redacted_stands_nowhere_and_still_equals_itself() {
    let scene = Scene::redacting(&["subject", "email", "phone", "address", "login"], true);
    let mut log = scene.log();
    log.append(&[noted("ann-smith"), noted("ann-smith"), noted("bob-brown")], 0).unwrap();
    let (entries, summary) = scene.read(Range::default());
    assert_eq!(summary.redacted.len(), 5);
    let decided: Vec<&Decided> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Login(decided) => &**decided,
            other => panic!("{other:?}"),
        })
        .collect();
    let text = serde_json::to_string(&entries).unwrap();
    for personal in ["ann-smith@", "subject-of-", "4123456789", "192.0.2.7", "octocat"] {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
    let [one, again, other] = decided[..] else { panic!("{decided:?}") };
    let address = |decided: &Decided| decided.asked.identity.email.clone().unwrap().address;
    assert_eq!(address(one), address(again));
    assert_ne!(address(one), address(other));
    // By its domain most policies decide.
    assert!(address(one).starts_with("p-") && address(one).ends_with("@example.com"), "{}", address(one));
    // The same person everywhere: in the account, in the profile, in a page's address, in a policy's words.
    assert_eq!(text.matches(&address(one)).count(), 2 * 5);
    // What nobody asked to hide is as it was.
    assert_eq!(one.asked.identity.claims["department"], json!("it"));
    assert_eq!(one.asked.context.login, "ann-smith");
}

#[test]
fn a_redacted_address_may_lose_its_domain_too() {
    let scene = Scene::redacting(&["email", "identifier"], false);
    let way = WayChosen {
        request: "request-1".into(),
        generation: Arc::from("generation-1"),
        context: context(),
        attempt: Attempt { identifier: Some("ann@example.com".into()), ..Attempt::default() },
        direction: Err(Denial::by_host(DenyCode::NoRoute, "nowhere for ann@example.com")),
        answers: vec![],
    };
    scene.log().append(&[noted("ann"), Noted::Way { chosen: Box::new(way), recipe: None }], 0).unwrap();
    let (entries, _) = scene.read(Range::default());
    let text = serde_json::to_string(&entries).unwrap();
    assert!(!text.contains("example.com\"") && text.contains("@redacted.invalid"), "{text}");
}

#[test]
fn another_form_is_not_read() {
    let scene = Scene::new();
    drop(scene.log());
    let file = scene.files()[0].clone();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let mut end = line::End::genesis();
    let mut text = Vec::new();
    let opened = json!({ "opened": { "format": 2, "previous": null, "redacted": [] } }).to_string();
    end.line(&scene.keys, &name, Kind::Opened, opened.as_bytes(), &mut text).unwrap();
    let unknown = json!({ "login": { "more": 1 } }).to_string();
    end.line(&scene.keys, &name, Kind::Login, unknown.as_bytes(), &mut text).unwrap();
    fs::write(&file, text).unwrap();
    let tip = end.tip(&scene.keys, &name).unwrap();
    fs::write(format!("{}.tip", file.display()), tip).unwrap();
    assert_eq!(scene.damage(), ["1 OtherForm", "2 OtherForm"]);
    assert_eq!(scene.clock.now(), NOW);
}
