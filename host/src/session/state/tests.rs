use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    super::{
        Channel, Ended, Memories, Origin, Participant, Role, Round,
        testing::{self, NOW},
    },
    *,
};

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state/sessions")
    }

    fn tip(&self) -> PathBuf {
        self.folder.path().join("state/sessions.tip")
    }

    fn open(&self) -> Result<State, StateError> {
        self.open_at(NOW)
    }

    fn open_at(&self, now: u64) -> Result<State, StateError> {
        State::open(&self.path(), testing::keys(), now)
    }

    /// A state with these ended sessions, as a process left it that ended by itself.
    fn with(ids: &[&str]) -> Self {
        let place = Self::new();
        let state = place.open().unwrap();
        for id in ids {
            state.put(Memory::Ended, id, &(), NOW + 100, NOW);
        }
        state.close();
        place
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(self.path()).unwrap().lines().map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        fs::write(self.path(), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
}

fn ended(state: &State) -> Vec<String> {
    let mut ids: Vec<String> = state.take::<()>(Memory::Ended).unwrap().into_iter().map(|(id, ..)| id).collect();
    ids.sort();
    ids
}

fn put_back(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_put_is_there_after_a_restart_until_it_expires_and_once_for_each_memory() {
    let place = Place::new();
    let state = place.open().unwrap();
    assert!(state.is_kept() && ended(&state).is_empty());
    state.put(Memory::Ended, "a", &(), NOW + 10, NOW);
    state.put(Memory::Ended, "b", &(), NOW + 20, NOW);
    state.put(Memory::Grants, "a", &"one", NOW + 20, NOW);
    state.put(Memory::Grants, "a", &"two", NOW + 20, NOW);
    state.put(Memory::Participants, "gone", &"x", NOW + 20, NOW);
    state.forget(Memory::Participants, "gone", NOW);
    state.sync().unwrap();
    drop(state);
    let again = place.open_at(NOW + 10).unwrap();
    assert_eq!(ended(&again), ["b"]);
    assert!(ended(&again).is_empty(), "it was given out");
    let grants = again.take::<String>(Memory::Grants).unwrap();
    assert_eq!(grants, [("a".to_owned(), NOW + 20, "two".to_owned())]);
    assert!(again.take::<String>(Memory::Participants).unwrap().is_empty());
    assert!(!State::default().is_kept());
    for path in [place.path(), place.tip(), place.folder.path().join("state/sessions.lock")] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn nobody_reads_who_it_is_about() {
    let place = Place::with(&["ann@example.com"]);
    let text = fs::read_to_string(place.path()).unwrap() + &fs::read_to_string(place.tip()).unwrap();
    assert!(!text.contains("ann") && !text.contains("ended"), "{text}");
}

#[test]
fn what_a_crash_left_of_the_last_line_is_taken_out_and_costs_no_other() {
    let place = Place::with(&["a", "b"]);
    let whole = fs::read(place.path()).unwrap();
    let state = place.open().unwrap();
    state.put(Memory::Ended, "c", &(), NOW + 100, NOW);
    drop(state);
    let longer = fs::read(place.path()).unwrap();
    assert!(longer.len() > whole.len());
    let last = longer[..longer.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let tip = fs::read(place.tip()).unwrap();
    for cut in [last + 1, last + 10, longer.len() - 1] {
        fs::write(place.path(), &longer[..cut]).unwrap();
        fs::write(place.tip(), &tip).unwrap();
        assert_eq!(ended(&place.open().unwrap()), ["a", "b"], "{cut}");
    }
    // Blocks that were never written.
    fs::write(place.path(), [&longer[..], &[0; 512]].concat()).unwrap();
    fs::write(place.tip(), &tip).unwrap();
    assert_eq!(ended(&place.open().unwrap()), ["a", "b", "c"]);
}

#[test]
fn a_file_that_was_cut_is_refused_even_at_the_end_of_a_line() {
    let place = Place::with(&["a", "b"]);
    let lines = place.lines();
    assert_eq!(lines.len(), 3);
    for left in 1..3 {
        place.write(&lines[..left]);
        let refused = place.open().unwrap_err();
        assert!(matches!(refused, StateError::Cut { expected: 3, .. }), "{refused}");
        assert!(refused.to_string().contains("state/sessions"), "{refused}");
    }
    place.write(&[]);
    assert!(matches!(place.open(), Err(StateError::Malformed { line: 1, .. })));
    place.write(&lines);
    assert_eq!(ended(&place.open().unwrap()), ["a", "b"], "as it was");
}

#[test]
fn a_line_counts_in_its_own_place_of_its_own_file_only() {
    let place = Place::with(&["a", "b", "c"]);
    let lines = place.lines();
    let other = Place::with(&["a", "b", "c"]).lines();
    let flipped = |line: &String| {
        let (head, last) = line.split_at(line.len() - 8);
        format!("{head}{}", last.chars().map(|sign| if sign == 'A' { 'B' } else { 'A' }).collect::<String>())
    };
    let renumbered = |line: &String, number: &str| format!("{number} {}", line.split_once(' ').unwrap().1);
    for (wrong, at) in [
        (vec![lines[0].clone(), lines[2].clone(), lines[1].clone(), lines[3].clone()], 2),
        (vec![lines[0].clone(), lines[1].clone(), lines[3].clone()], 3),
        (vec![lines[0].clone(), lines[1].clone(), renumbered(&lines[3], "3"), lines[3].clone()], 3),
        (vec![lines[0].clone(), lines[1].clone(), lines[1].clone(), lines[3].clone()], 3),
        (vec![lines[0].clone(), flipped(&lines[1]), lines[2].clone(), lines[3].clone()], 2),
        (vec![lines[0].clone(), other[1].clone(), lines[2].clone(), lines[3].clone()], 2),
        (vec![flipped(&lines[0]), lines[1].clone(), lines[2].clone(), lines[3].clone()], 1),
        (vec![lines[0].clone(), "2 nonsense".into(), lines[2].clone(), lines[3].clone()], 2),
        (vec![lines[0].clone(), String::new(), lines[2].clone(), lines[3].clone()], 2),
        (vec!["nonsense".into()], 1),
    ] {
        place.write(&wrong);
        let refused = place.open().unwrap_err();
        assert!(matches!(refused, StateError::Malformed { line, .. } if line == at), "{refused}: {wrong:?}");
    }
    // Nothing was written over.
    place.write(&lines);
    assert_eq!(ended(&place.open().unwrap()), ["a", "b", "c"]);
}

#[test]
fn an_older_file_or_half_of_one_is_not_taken_for_the_one_that_was_used_last() {
    let place = Place::with(&["a"]);
    let (old, old_tip) = (fs::read(place.path()).unwrap(), fs::read(place.tip()).unwrap());
    let state = place.open().unwrap();
    state.put(Memory::Ended, "b", &(), NOW + 100, NOW);
    state.close();
    drop(state);
    let (new, new_tip) = (fs::read(place.path()).unwrap(), fs::read(place.tip()).unwrap());
    fs::write(place.path(), &old).unwrap();
    assert!(matches!(place.open(), Err(StateError::Older { .. })));
    fs::write(place.path(), &new).unwrap();
    fs::write(place.tip(), &old_tip).unwrap();
    assert!(matches!(place.open(), Err(StateError::Older { .. })));
    fs::write(place.tip(), b"1 nonsense\n").unwrap();
    assert!(matches!(place.open(), Err(StateError::Malformed { line: 1, .. })));
    fs::remove_file(place.tip()).unwrap();
    assert!(matches!(place.open(), Err(StateError::Missing { .. })));
    put_back(&place.tip(), &new_tip);
    fs::remove_file(place.path()).unwrap();
    assert!(matches!(place.open(), Err(StateError::Missing { .. })));
    put_back(&place.path(), &new);
    assert_eq!(ended(&place.open().unwrap()), ["a", "b"]);
    // Nothing at all is a beginning.
    fs::remove_file(place.path()).unwrap();
    fs::remove_file(place.tip()).unwrap();
    assert!(ended(&place.open().unwrap()).is_empty());
}

#[test]
fn a_crash_while_the_file_is_written_anew_leaves_one_that_counts() {
    let place = Place::with(&["a"]);
    let (old, old_tip) = (fs::read(place.path()).unwrap(), fs::read(place.tip()).unwrap());
    let keys = testing::keys();
    let tip = line::read_tip(&keys, &old_tip).unwrap();
    drop(place.open().unwrap());
    let (new, new_tip) = (fs::read(place.path()).unwrap(), fs::read(place.tip()).unwrap());
    let next = line::read_tip(&keys, &new_tip).unwrap().epoch;
    // The tip said what comes next; the file was the old one still, or the new one already.
    let between = line::tip(&keys, &line::Tip { next: Some(next), ..tip }).unwrap();
    for file in [&old, &new] {
        fs::write(place.path(), file).unwrap();
        fs::write(place.tip(), &between).unwrap();
        assert_eq!(ended(&place.open().unwrap()), ["a"]);
    }
    // At the very first start there was no file yet.
    let first = Place::new();
    fs::create_dir(first.folder.path().join("state")).unwrap();
    put_back(&first.tip(), &line::tip(&keys, &line::Tip { epoch: "e".into(), lines: 0, next: None }).unwrap());
    assert!(ended(&first.open().unwrap()).is_empty());
}

#[test]
fn another_process_another_ring_and_another_mode_are_refused() {
    let place = Place::with(&["a"]);
    let state = place.open().unwrap();
    assert!(matches!(place.open(), Err(StateError::InUse { .. })));
    drop(state);
    let foreign = State::open(&place.path(), testing::another_ring(), NOW).unwrap_err();
    assert!(matches!(foreign, StateError::ForeignKey { line: 1, .. }), "{foreign}");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(place.open(), Err(StateError::Permissions { mode: 0o640, .. })));
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ended(&place.open().unwrap()), ["a"]);
}

#[test]
fn the_file_does_not_grow_with_what_counts_no_more() {
    let place = Place::new();
    let state = place.open().unwrap();
    state.put(Memory::Ended, "stays", &(), NOW + 100, NOW);
    for number in 0..50_000_u32 {
        state.put(Memory::Participants, &format!("p{}", number % 10), &number, NOW + 100, NOW);
    }
    state.close();
    drop(state);
    assert!(place.lines().len() < 25_000, "{}", place.lines().len());
    let again = place.open().unwrap();
    assert_eq!(place.lines().len(), 12, "the start leaves what counts: a head, ten and one");
    let mut kept = again.take::<u32>(Memory::Participants).unwrap();
    kept.sort();
    assert_eq!(kept[9], ("p9".to_owned(), NOW + 100, 49_999));
    assert_eq!(ended(&again), ["stays"]);
}

#[test]
fn of_many_who_write_at_once_nothing_is_lost() {
    let place = Place::new();
    let state = place.open().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let state = &state;
            scope.spawn(move || {
                for number in 0..50 {
                    state.put(Memory::Ended, &format!("{thread}-{number}"), &(), NOW + 100, NOW);
                    state.sync().unwrap();
                }
            });
        }
    });
    drop(state);
    assert_eq!(ended(&place.open().unwrap()).len(), 200);
}

#[test]
fn what_a_session_came_to_is_remembered_by_all_who_ask() {
    let place = Place::new();
    let open = || Memories::open(&place.path(), testing::keys(), NOW).unwrap();
    let issuer = "https://idp.example".to_owned();
    let origin = |family: &str, subject: &str, sid: &str| Origin {
        sid: format!("sid-{family}"),
        family: family.into(),
        upstream: "corp".into(),
        issuer: issuer.clone(),
        subject: subject.into(),
        session: Some(sid.into()),
        began: NOW - 10,
    };
    let participant = |family: &str, subject: &str, sid: &str| Participant {
        tenant: "default".into(),
        application: "jira".into(),
        role: Role::RelyingParty { client_id: "jira".into(), mark: Some([7; 32]), subject: subject.into() },
        front_channel: false,
        origin: origin(family, subject, sid),
    };
    let before = open();
    before.revoked.end("session", NOW + 100, NOW);
    before.revoked.end("family", NOW + 100, NOW);
    before.revoked.end_at_upstream(Ended::Session(issuer.clone(), "s-1".into()), Channel::Back, NOW + 100, NOW);
    before.revoked.end_at_upstream(Ended::Subject(issuer.clone(), "bob".into()), Channel::Front, NOW + 100, NOW);
    for (family, subject, sid) in [("f1", "ann", "s-1"), ("f2", "ann", "s-2"), ("f3", "eve", "s-3")] {
        before.participants.join(participant(family, subject, sid), NOW + 100, NOW);
    }
    assert_eq!(before.participants.end("f3", NOW).len(), 1);
    assert_eq!(before.participants.end_at_upstream(&Ended::Session(issuer.clone(), "s-1".into()), NOW).len(), 1);
    assert_eq!(before.logout_tokens.take("t-1", NOW + 100, NOW), Ok(true));
    before.rounds.begin(
        "way",
        vec![participant("f4", "ann", "s-4")],
        vec![participant("f5", "ann", "s-4")],
        NOW + 9,
        NOW,
    );
    assert!(matches!(before.rounds.next("way", NOW).unwrap(), Round::Frames(_)));
    let Round::Ask { id, .. } = before.rounds.next("way", NOW).unwrap() else { panic!("nobody is asked") };
    before.rounds.begin("over", vec![], vec![participant("f6", "ann", "s-4")], NOW + 9, NOW);
    assert_eq!(before.rounds.end("over", NOW).len(), 1);
    drop(before);

    let after = open();
    assert!(after.revoked.has("session", NOW) && after.revoked.has("family", NOW) && !after.revoked.has("other", NOW));
    assert!(after.revoked.covers(&origin("f1", "ann", "s-1"), NOW));
    assert!(after.revoked.covers(&origin("f9", "bob", "s-9"), NOW));
    assert!(!after.revoked.covers(&origin("f2", "ann", "s-2"), NOW));
    assert!(!after.revoked.has("session", NOW + 100), "it would have ended by itself");
    assert_eq!(after.logout_tokens.take("t-1", NOW + 100, NOW), Ok(false));
    assert_eq!(after.rounds.settle("way", Some("jira"), &id, NOW), Some(participant("f5", "ann", "s-4")));
    assert_eq!(after.rounds.next("way", NOW).unwrap(), Round::Over);
    assert!(after.rounds.end("over", NOW).is_empty() && after.rounds.end("way", NOW).is_empty());
    assert_eq!(after.logout_tokens.take("t-2", NOW + 100, NOW), Ok(true));
    assert_eq!(after.participants.end("f2", NOW), [participant("f2", "ann", "s-2")]);
    assert!(after.participants.end("f1", NOW).is_empty() && after.participants.end("f3", NOW).is_empty());
}
