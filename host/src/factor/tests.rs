//! Requirements on second factors: what is taken, what is not, and what is kept.

use std::{fs, os::unix::fs::PermissionsExt as _};

use tempfile::TempDir;

mod passkeys;

use super::*;
use crate::{clock::ManualClock, config, keys};

const NOW: u64 = 1_800_000_000;
const ANN: Whose<'_> = Whose { issuer: "https://idp.example", subject: "ann" };
const BOB: Whose<'_> = Whose { issuer: "https://idp.example", subject: "bob" };

struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        keys::generate(&folder.path().join("keys"), &ManualClock::at(NOW)).unwrap();
        Self { folder }
    }

    fn ring(&self) -> Arc<KeyRing> {
        let directory = self.folder.path().join("keys");
        Arc::new(KeyRing::open(&config::Keys { directory }, Arc::new(ManualClock::at(NOW))).unwrap())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("factors.json")
    }

    fn open(&self) -> Factors {
        Factors::open(&self.path(), self.ring()).unwrap()
    }
}

fn enrolled(factors: &Factors, whose: Whose<'_>) -> (TotpSecret, Vec<Secret<String>>) {
    let secret = TotpSecret::generate().unwrap();
    let codes = factors.enrol(whose, &secret, &secret.shown(NOW), NOW).unwrap().unwrap();
    (secret, codes)
}

#[test]
fn a_factor_is_set_up_with_a_code_of_its_own_and_only_once() {
    let home = Home::new();
    let factors = home.open();
    let secret = TotpSecret::generate().unwrap();
    assert_eq!(factors.enrol(ANN, &secret, "000000x", NOW).unwrap().err(), Some(Outcome::Wrong));
    assert_eq!(factors.find(ANN).unwrap(), None);
    assert_eq!(factors.prove(ANN, &secret.shown(NOW), NOW).unwrap(), Outcome::NotEnrolled);
    let codes = factors.enrol(ANN, &secret, &secret.shown(NOW), NOW).unwrap().unwrap();
    assert_eq!(codes.len(), RECOVERY_CODES);
    // Whoever comes second, with the first factor alone, changes nothing.
    let other = TotpSecret::generate().unwrap();
    assert_eq!(factors.enrol(ANN, &other, &other.shown(NOW), NOW).unwrap().err(), Some(Outcome::Used));
    let later = NOW + 30;
    assert_eq!(factors.prove(ANN, &secret.shown(later), later).unwrap(), Outcome::Passed(Method::Totp));
    assert_eq!(factors.find(BOB).unwrap(), None);
}

#[test]
fn each_time_step_counts_once_and_none_before_it_afterwards() {
    let home = Home::new();
    let factors = home.open();
    let (secret, _) = enrolled(&factors, ANN);
    // The code that set it up is used up, and so are those before it.
    assert_eq!(factors.prove(ANN, &secret.shown(NOW), NOW).unwrap(), Outcome::Used);
    assert_eq!(factors.prove(ANN, &secret.shown(NOW - 30), NOW).unwrap(), Outcome::Used);
    let next = secret.shown(NOW + 30);
    assert_eq!(factors.prove(ANN, &next, NOW).unwrap(), Outcome::Passed(Method::Totp));
    assert_eq!(factors.prove(ANN, &next, NOW + 30).unwrap(), Outcome::Used);
    // A restart forgets nothing of it.
    assert_eq!(home.open().prove(ANN, &next, NOW + 59).unwrap(), Outcome::Used);
}

#[test]
fn a_code_that_comes_many_times_at_once_counts_once() {
    let home = Home::new();
    let (secret, codes) = enrolled(&home.open(), ANN);
    let later = NOW + 60;
    for code in [secret.shown(later), codes[0].expose().clone()] {
        // Half of them in a process of their own, as far as the file can tell.
        let factors = [home.open(), home.open()];
        let passed = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8)
                .map(|number| {
                    let (factors, code) = (&factors[number % 2], &code);
                    scope.spawn(move || matches!(factors.prove(ANN, code, later).unwrap(), Outcome::Passed(_)))
                })
                .collect();
            tries.into_iter().map(|one| one.join().unwrap()).filter(|passed| *passed).count()
        });
        assert_eq!(passed, 1);
    }
}

#[test]
fn a_file_that_cannot_be_changed_is_refused_at_once() {
    let home = Home::new();
    home.open().ready().unwrap();
    let nowhere = Factors::open(&home.folder.path().join("no/such/folder/factors.json"), home.ring()).unwrap();
    assert!(matches!(nowhere.ready(), Err(FactorError::File { .. })));
}

#[test]
fn guessing_is_locked_out_for_longer_each_time_and_never_for_ever() {
    let home = Home::new();
    let factors = home.open();
    let (secret, codes) = enrolled(&factors, ANN);
    let mut now = NOW + 300;
    let wrong = |now| {
        let right: Vec<String> = [now - 30, now, now + 30].map(|at| secret.shown(at)).into();
        ["000000", "111111", "222222", "333333"].into_iter().find(|code| !right.contains(&(*code).to_owned())).unwrap()
    };
    for _ in 0..5 {
        assert_eq!(factors.prove(ANN, wrong(now), now).unwrap(), Outcome::Wrong);
    }
    let until = now + 60;
    assert_eq!(factors.prove(ANN, &secret.shown(now), now).unwrap(), Outcome::Locked { until }, "even the right one");
    // Another subject is not touched by it.
    let (others, _) = enrolled(&factors, BOB);
    assert_eq!(factors.prove(BOB, &others.shown(now), now).unwrap(), Outcome::Passed(Method::Totp));
    // Whoever goes on guessing waits for longer each time, up to an hour.
    let mut waits = Vec::new();
    for _ in 0..9 {
        now = factors.find(ANN).unwrap().unwrap().locked_until;
        assert_eq!(factors.prove(ANN, wrong(now), now).unwrap(), Outcome::Wrong);
        waits.push(factors.find(ANN).unwrap().unwrap().locked_until - now);
    }
    assert_eq!(waits, [120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]);
    // The subject comes in all the while, with a recovery code; and then with the app again.
    let passed = factors.prove(ANN, codes[0].expose(), now + 1).unwrap();
    assert_eq!(passed, Outcome::Passed(Method::RecoveryCode { left: RECOVERY_CODES - 1 }));
    assert_eq!(factors.prove(ANN, &secret.shown(now + 1), now + 1).unwrap(), Outcome::Passed(Method::Totp));
    assert_eq!([0, 4, 5, 6, 40, u32::MAX].map(lock_s), [0, 0, 60, 120, 3600, 3600]);
}

#[test]
fn what_is_no_code_at_all_is_wrong_and_locks_nobody_out() {
    let home = Home::new();
    let factors = home.open();
    let (secret, _) = enrolled(&factors, ANN);
    let now = NOW + 60;
    for typed in ["", " ", "12345", "1234567", "abcdef", "aaaa-bbbb-cccc-dddd", "１２３４５６", &"1".repeat(100_000)]
    {
        assert_eq!(factors.prove(ANN, typed, now).unwrap(), Outcome::Wrong, "{}", typed.len());
    }
    let code = secret.shown(now);
    let spelt = format!(" {} {}", &code[..3], &code[3..]);
    assert_eq!(factors.prove(ANN, &spelt, now).unwrap(), Outcome::Passed(Method::Totp));
}

#[test]
fn a_recovery_code_counts_once_and_a_new_set_ends_the_old_one() {
    let home = Home::new();
    let factors = home.open();
    let (_, codes) = enrolled(&factors, ANN);
    assert_eq!(
        factors.prove(ANN, codes[3].expose(), NOW).unwrap(),
        Outcome::Passed(Method::RecoveryCode { left: RECOVERY_CODES - 1 })
    );
    assert_eq!(factors.prove(ANN, codes[3].expose(), NOW).unwrap(), Outcome::Wrong);
    let renewed = factors.renew_recovery_codes(ANN).unwrap().unwrap();
    assert_eq!(factors.prove(ANN, codes[4].expose(), NOW).unwrap(), Outcome::Wrong);
    assert!(matches!(factors.prove(ANN, renewed[0].expose(), NOW).unwrap(), Outcome::Passed(_)));
    // Another subject's are nobody else's.
    enrolled(&factors, BOB);
    assert_eq!(factors.prove(BOB, renewed[1].expose(), NOW).unwrap(), Outcome::Wrong);
    assert_eq!(factors.renew_recovery_codes(Whose { subject: "eve", ..ANN }).unwrap(), None);
}

#[test]
fn the_file_is_for_its_owner_alone_and_tells_no_secret() {
    let home = Home::new();
    let factors = home.open();
    assert!(!home.path().exists(), "nobody has a factor yet");
    let (secret, codes) = enrolled(&factors, ANN);
    let mode = fs::metadata(home.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let text = fs::read_to_string(home.path()).unwrap();
    assert!(!text.contains(secret.text().expose().as_str()));
    assert!(codes.iter().all(|code| !text.contains(code.expose().as_str())));
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let error = Factors::open(&home.path(), home.ring()).unwrap_err();
    assert!(matches!(error, FactorError::Permissions { mode: 0o640, .. }), "{error}");
}

#[test]
fn a_file_that_is_not_whole_is_refused_with_its_place() {
    let home = Home::new();
    enrolled(&home.open(), ANN);
    let text = fs::read_to_string(home.path()).unwrap();
    let refused = |text: &str| {
        fs::write(home.path(), text).unwrap();
        Factors::open(&home.path(), home.ring()).unwrap_err().to_string()
    };
    for (broken, place) in [
        (text.replacen("\"step\"", "\"stp\"", 1), "line 10"),
        (text[..text.len() / 2].to_owned(), "line "),
        (String::new(), "line 1"),
        (text.replacen("\"format\": 1", "\"format\": 3", 1), "format is 3"),
        (text.replacen("\"salt\": \"", "\"salt\": \"x", 1), "subjects[0].recovery"),
        // A secret that was put in another subject's place does not open there.
        (text.replacen("\"subject\": \"ann\"", "\"subject\": \"bob\"", 1), "subjects[0].secret"),
        (text.replacen("\"secret\": \"v1.", "\"secret\": \"v1.A", 1), "subjects[0].secret"),
    ] {
        let error = refused(&broken);
        assert!(error.contains(place) && error.contains("factors.json"), "{place}: {error}");
        assert!(!error.contains("v1."), "{error}");
    }
    let entry = text.split("\"subjects\": [").nth(1).unwrap().split("\n  ],").next().unwrap();
    let twice = text.replacen(entry, &format!("{entry},{entry}"), 1);
    assert!(refused(&twice).contains("subjects[1]"));
}

#[test]
fn a_file_that_breaks_while_the_gateway_runs_lets_nobody_in_and_nobody_enrol() {
    let home = Home::new();
    let factors = home.open();
    let (secret, codes) = enrolled(&factors, ANN);
    fs::write(home.path(), "{").unwrap();
    let later = NOW + 60;
    assert!(factors.prove(ANN, &secret.shown(later), later).is_err());
    assert!(factors.prove(ANN, codes[0].expose(), later).is_err());
    assert!(factors.find(ANN).is_err());
    assert!(factors.enrol(BOB, &secret, &secret.shown(later), later).is_err());
}

#[test]
fn secrets_are_sealed_anew_when_the_keys_were_rotated() {
    let home = Home::new();
    let (secret, _) = enrolled(&home.open(), ANN);
    for _ in 0..3 {
        // Each rotation drops all but the newest two.
        keys::rotate(&home.folder.path().join("keys"), 1, &ManualClock::at(NOW)).unwrap();
        home.open();
    }
    let later = NOW + 60;
    assert_eq!(home.open().prove(ANN, &secret.shown(later), later).unwrap(), Outcome::Passed(Method::Totp));
}

#[test]
fn what_an_operator_resets_is_gone_at_once_and_is_recorded_once() {
    let home = Home::new();
    let (gateway, operator) = (home.open(), home.open());
    let (secret, _) = enrolled(&gateway, ANN);
    enrolled(&gateway, BOB);
    let listed: Vec<String> = operator.list().unwrap().into_iter().map(|known| known.subject).collect();
    assert_eq!(listed, ["ann", "bob"]);
    assert!(operator.reset(ANN, NOW).unwrap());
    assert!(!operator.reset(ANN, NOW).unwrap());
    assert_eq!(gateway.prove(ANN, &secret.shown(NOW + 60), NOW + 60).unwrap(), Outcome::NotEnrolled);
    let mut heard = Vec::new();
    gateway.record_resets(|_| false).unwrap();
    gateway
        .record_resets(|reset| {
            heard.push(reset.subject.clone());
            true
        })
        .unwrap();
    gateway.record_resets(|_| panic!("twice")).unwrap();
    assert_eq!(heard, ["ann"]);
    assert!(gateway.remove(BOB).unwrap() && !gateway.remove(BOB).unwrap());
}
