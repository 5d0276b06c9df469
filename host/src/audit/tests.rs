//! What the record must hold, and what it must never hold.

use std::{
    fs, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use super::{
    chain::End,
    writer::{Store, Writer},
    *,
};
use crate::{
    clock::ManualClock,
    decision::{Answer, DenyCode, Hook, PolicyRef, Reason, Recorded},
    identity::{Email, GroupClaim, Protocol},
};

const NOW: u64 = 1_800_000_000;

struct Log {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        Self { _folder: folder, path }
    }

    fn open(&self) -> Result<Audit, AuditError> {
        self.open_with(true, false)
    }

    fn open_with(&self, sync: bool, personal_data: bool) -> Result<Audit, AuditError> {
        let config = config::Audit { file: self.path.clone(), sync, personal_data };
        Audit::open(&config, Arc::new(ManualClock::at(NOW)), Arc::new(|value: &str| format!("{:08x}", fold(value))))
    }

    /// A closed log of the opening line and `count` events.
    fn filled(count: usize) -> Self {
        let log = Self::new();
        let audit = log.open().unwrap();
        for _ in 0..count {
            audit.record(&login(true)).unwrap();
        }
        log
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn tip(&self) -> PathBuf {
        file::beside(&self.path, "tip")
    }
}

/// Not a good hash, and not the value.
fn fold(value: &str) -> u32 {
    value.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

fn identity() -> Identity {
    let claims = json!({
        "name": "Alice Liddell",
        "given_name": "Alice",
        "phone_number": 4_930_123_456_u64,
        "address": { "locality": "Oxford", "street": "Folly Bridge 1" },
        "picture": "https://pics.example.net/alice.png",
        "login": "wonder-alice",
        "favourite": ["Cheshire Cat"],
        "cognito:groups": ["curious"],
        "tid": "tenant-1",
        "email_verified": true,
        "access_token": "secret-access",
        "refresh_token": "secret-refresh",
        "id_token": "secret-id",
        "nonce": "secret-nonce",
        "some_secret": "secret-some",
        "sid": "secret-sid",
    });
    let Value::Object(claims) = claims else { panic!("not an object") };
    Identity {
        upstream: "main".into(),
        protocol: Protocol::Oidc,
        issuer: "https://id.example.com".into(),
        subject: "subject-4711".into(),
        email: Some(Email { address: "Alice@Example.com".into(), verified: true }),
        groups: GroupClaim::Listed(vec!["staff".into()]),
        auth_time: Some(NOW),
        acr: Some("gold".into()),
        amr: vec!["otp".into()],
        claims: claims.into_iter().collect(),
    }
}

fn login(granted: bool) -> Event {
    let answer = |hook, answer: Value| Answer {
        policy: "domains".into(),
        hook,
        answer: Recorded::of(&answer),
        fuel: 10,
        micros: 2,
        log: vec!["debug: saw alice@example.com of Alice Liddell".into()],
        dropped: vec!["root: group-protected".into()],
    };
    Event {
        kind: Kind::Login,
        granted,
        request: Some("r-1".into()),
        login: Some("l-1".into()),
        application: Some("wiki".into()),
        address: Some("192.0.2.7".into()),
        identity: Some(identity()),
        input: Some(json!([
            { "name": "request.host", "value": { "text": "wiki.example.com" } },
            { "name": "request.target", "value": { "text": "https://wiki.example.com/a?code=secret-code#secret-fragment" } },
            { "name": "header.user-agent", "value": { "text": "Mozilla/5.0 alice" } },
            { "name": "header.cookie", "value": { "text": "secret-cookie" } },
            { "name": "header.authorization", "value": { "text": "secret-authorization" } },
        ])),
        outcome: granted.then(|| {
            json!({
                "profile": { "match_key": { "email": "alice@example.com" }, "username": "alice.l", "attributes": [
                    { "name": "department", "value": { "text": "Rabbit Holes" } },
                    { "name": "employee", "value": { "integer": 31_415_926 } },
                    { "name": "api_token", "value": { "text": "secret-api" } },
                ] },
                "groups": { "added": ["wiki-users"], "removed": [], "groups": ["wiki-users"] },
                "terms": { "lifetime": 60, "idle": 30, "remember": false },
            })
        }),
        denial: (!granted).then(|| {
            let reason = Reason::new("domain-not-allowed", "<alice@example.com>: the domain of Alice is not allowed");
            Denial::by_policy(DenyCode::PolicyDenied, "domains", Hook::Admit, reason)
        }),
        trace: Some(Trace {
            generation: 3,
            generation_digest: "d1".into(),
            canary: false,
            policies: Arc::new([PolicyRef {
                name: "domains".into(),
                version: "1.0.0".into(),
                component: "c1".into(),
                settings: "s1".into(),
            }]),
            answers: vec![
                answer(
                    Hook::Route,
                    json!({ "redirect": { "upstream": "main", "delay": 0, "login_hint": "alice@example.com", "acr_values": ["gold"] } }),
                ),
                answer(
                    Hook::Admit,
                    json!({ "allow": { "code": "domain-allowed", "detail": "alice@example.com. is fine" } }),
                ),
                answer(Hook::Profile, json!({ "username": "alice.l", "given_name": "Alice" })),
                answer(
                    Hook::Groups,
                    json!({ "grants": [{ "group": "wiki-users", "because": { "code": "mapped", "detail": "" } }] }),
                ),
                answer(Hook::Access, json!("pass")),
            ],
        }),
        micros: 99,
        ..Event::default()
    }
}

#[test]
fn a_line_has_the_same_fields_for_a_yes_and_a_no() {
    let log = Log::new();
    let audit = log.open().unwrap();
    audit.record(&login(true)).unwrap();
    audit.record(&login(false)).unwrap();
    let lines = log.lines();
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["kind"], "audit.opened");
    assert!(lines.iter().all(|line| keys(line) == keys(&lines[0])));
    assert_eq!(keys(&lines[1]).first().map(String::as_str), Some("seq"));
    assert_eq!(keys(&lines[1]).last().map(String::as_str), Some("hash"));
    assert_eq!(lines[1]["at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(lines[2]["prev"], lines[1]["hash"]);
    assert_eq!((&lines[1]["denial"], &lines[2]["outcome"]), (&Value::Null, &Value::Null));
    assert_eq!(lines[2]["denial"]["reason"]["code"], "domain-not-allowed");
}

#[test]
fn personal_data_is_written_as_pseudonyms_and_credentials_never() {
    let log = Log::new();
    let audit = log.open().unwrap();
    audit.record(&login(true)).unwrap();
    audit.record(&login(false)).unwrap();
    let text = fs::read_to_string(&log.path).unwrap();
    for personal in [
        "alice",
        "liddell",
        "4930123456",
        "oxford",
        "folly",
        "cheshire",
        "rabbit",
        "31415926",
        "mozilla",
        "subject-4711",
        "secret",
    ] {
        assert!(!text.to_lowercase().contains(personal), "{personal} in {text}");
    }
    let line = &log.lines()[1];
    let email = format!("pseudonym:{:08x}@example.com", fold("alice@example.com"));
    assert_eq!(line["identity"]["email"], json!({ "address": email, "verified": true }));
    assert_eq!(
        line["trace"]["answers"][0]["answer"]["redirect"]["login_hint"],
        json!(email),
        "one value, one pseudonym"
    );
    assert_eq!(line["outcome"]["profile"]["match_key"]["email"], json!(email));
    assert_eq!(line["identity"]["claims"]["name"], json!(format!("pseudonym:{:08x}", fold("alice liddell"))));
    let detail = log.lines()[2]["denial"]["reason"]["detail"].clone();
    assert_eq!(detail, json!(format!("<{email}>: the domain of pseudonym:{:08x} is not allowed", fold("alice"))));
    assert_eq!(line["trace"]["answers"][1]["answer"]["allow"]["detail"], json!(format!("{email}. is fine")));
}

#[test]
fn what_explains_a_decision_is_written_in_clear() {
    let log = Log::new();
    log.open().unwrap().record(&login(true)).unwrap();
    let line = &log.lines()[1];
    for (pointer, expected) in [
        ("/identity/issuer", json!("https://id.example.com")),
        ("/identity/protocol", json!("oidc")),
        ("/identity/upstream", json!("main")),
        ("/identity/groups/listed/0", json!("staff")),
        ("/identity/acr", json!("gold")),
        ("/identity/amr/0", json!("otp")),
        ("/identity/claims/cognito:groups/0", json!("curious")),
        ("/identity/claims/tid", json!("tenant-1")),
        ("/identity/claims/email_verified", json!(true)),
        ("/address", json!("192.0.2.7")),
        ("/input/0/value/text", json!("wiki.example.com")),
        ("/input/1/value/text", json!("https://wiki.example.com/a")),
        ("/input/3/value", Value::Null),
        ("/outcome/groups/added/0", json!("wiki-users")),
        ("/outcome/terms/lifetime", json!(60)),
        ("/trace/generation", json!(3)),
        ("/trace/policies/0/component", json!("c1")),
        ("/trace/answers/0/answer/redirect/upstream", json!("main")),
        ("/trace/answers/0/answer/redirect/acr_values/0", json!("gold")),
        ("/trace/answers/1/answer/allow/code", json!("domain-allowed")),
        ("/trace/answers/3/answer/grants/0/group", json!("wiki-users")),
        ("/trace/answers/3/answer/grants/0/because/code", json!("mapped")),
        ("/trace/answers/4/answer", json!("pass")),
        ("/trace/answers/0/dropped/0", json!("root: group-protected")),
    ] {
        assert_eq!(line.pointer(pointer), Some(&expected), "{pointer}");
    }
}

#[test]
fn what_the_host_asked_and_heard_is_legible_and_what_an_upstream_calls_it_is_not() {
    let log = Log::new();
    let audit = log.open().unwrap();
    let mut of_login = login(true);
    let claims = ["detail", "log", "message", "warning", "path", "target", "previous", "upstream"];
    for claim in claims {
        let identity = of_login.identity.as_mut().unwrap();
        identity.claims.insert(claim.into(), json!("the rabbit's own words"));
    }
    of_login.input = Some(json!({
        "facts": {
            "request.host": "wiki.example.com", "request.method": "GET",
            "request.target": "https://wiki.example.com/a?code=secret-code", "session.remembered": true,
            "header.x-employee": "Rabbit Holes",
        },
        "warnings": ["email-trusted-unverified"],
    }));
    audit.record(&of_login).unwrap();
    let route = |outcome: Value| Event { kind: Kind::Route, outcome: Some(outcome), ..Event::default() };
    audit.record(&route(json!("ask-identifier"))).unwrap();
    audit.record(&route(json!({ "redirect": { "upstream": "main", "login_hint": "alice@example.com" } }))).unwrap();
    let lines = log.lines();
    let (login, asked, sent) = (&lines[1], &lines[2], &lines[3]);
    assert_eq!(login["input"]["warnings"], json!(["email-trusted-unverified"]));
    let facts = &login["input"]["facts"];
    assert_eq!((&facts["request.host"], &facts["request.method"]), (&json!("wiki.example.com"), &json!("GET")));
    assert_eq!(
        (&facts["request.target"], &facts["session.remembered"]),
        (&json!("https://wiki.example.com/a"), &json!(true))
    );
    assert!(facts["header.x-employee"].as_str().unwrap().starts_with("pseudonym:"), "{facts}");
    for claim in claims {
        let written = &login["identity"]["claims"][claim];
        assert!(written.as_str().unwrap().starts_with("pseudonym:"), "{claim}: {written}");
    }
    assert_eq!(asked["outcome"], "ask-identifier");
    assert_eq!(sent["outcome"]["redirect"]["upstream"], "main");
    assert!(!sent.to_string().contains("alice"), "{sent}");
}

#[test]
fn with_personal_data_names_are_in_clear_and_credentials_still_never() {
    let log = Log::new();
    log.open_with(true, true).unwrap().record(&login(true)).unwrap();
    let text = fs::read_to_string(&log.path).unwrap();
    assert!(text.contains("Alice Liddell") && text.contains("Alice@Example.com") && text.contains("31415926"));
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_whole_log_verifies() {
    let report = verify(&Log::filled(5).path, None).unwrap();
    assert_eq!((report.ok, report.lines, report.tip, report.torn_bytes), (true, 6, Tip::Matches, 0));
    assert!(report.to_string().starts_with("whole: 6 lines"), "{report}");
    assert_eq!(serde_json::to_value(&report).unwrap()["last-hash"].as_str().unwrap().len(), 64);
}

#[test]
fn finds_a_line_that_was_changed_in_any_byte() {
    let log = Log::filled(3);
    let good = log.bytes();
    let starts: Vec<usize> =
        std::iter::once(0).chain(good.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1)).collect();
    for position in (0..good.len()).step_by(7).chain(good.len() - 80..good.len()) {
        let mut changed = good.clone();
        changed[position] ^= 1;
        fs::write(&log.path, &changed).unwrap();
        let report = verify(&log.path, None).unwrap();
        let line = starts.iter().filter(|start| **start <= position).count() as u64;
        assert!(!report.ok, "byte {position}");
        // The last line without its line end looks like a write under way, but for the tip.
        assert_eq!(report.broken.map(|broken| broken.line), Some(line), "byte {position}");
    }
}

#[test]
fn finds_lines_that_were_cut_moved_doubled_or_put_in() {
    let log = Log::filled(5);
    let text = fs::read_to_string(&log.path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let other = Log::filled(5);
    let foreign = fs::read_to_string(&other.path).unwrap();
    let foreign: Vec<&str> = foreign.lines().collect();
    // Same events at the same time give the same chain: another clock makes another one.
    assert_eq!(lines[0], foreign[0]);
    for (order, line, why) in [
        (vec![1, 2, 3, 4, 5], 1, Fault::LinesMissing),
        (vec![0, 1, 3, 4, 5], 3, Fault::LinesMissing),
        (vec![0, 1, 2, 3, 4], 6, Fault::CutAtEnd),
        (vec![0], 2, Fault::CutAtEnd),
        (vec![], 1, Fault::CutAtEnd),
        (vec![0, 2, 1, 3, 4, 5], 2, Fault::LinesMissing),
        (vec![0, 1, 1, 2, 3, 4, 5], 3, Fault::Reordered),
        (vec![0, 1, 2, 3, 4, 5, 0], 7, Fault::Reordered),
    ] {
        let changed: String = order.iter().map(|index| format!("{}\n", lines[*index])).collect();
        fs::write(&log.path, changed).unwrap();
        let report = verify(&log.path, None).unwrap();
        assert_eq!(report.broken, Some(Break { line, why }), "{order:?}");
        assert!(!report.ok);
    }
    for text in ["\n", "{}\n", "not json\n", "\u{0}\n"] {
        fs::write(&log.path, text).unwrap();
        assert_eq!(verify(&log.path, None).unwrap().broken, Some(Break { line: 1, why: Fault::Changed }), "{text:?}");
    }
}

#[test]
fn finds_another_history_by_its_tip() {
    let log = Log::filled(3);
    let mut end = End::genesis();
    let mut forged = Vec::new();
    for _ in 0..4 {
        end.line(NOW, "\"kind\":\"decision.login\",\"granted\":true", &mut forged);
    }
    fs::write(&log.path, &forged).unwrap();
    assert_eq!(verify(&log.path, None).unwrap().broken, Some(Break { line: 4, why: Fault::NotTheTip }));
    assert!(matches!(log.open(), Err(AuditError::Broken { .. })));
    // Spliced: one's own beginning, another's end.
    let good = Log::filled(3);
    let text = fs::read_to_string(&good.path).unwrap();
    let mixed =
        format!("{}\n{}\n", text.lines().next().unwrap(), String::from_utf8(forged).unwrap().lines().nth(1).unwrap());
    fs::write(&good.path, mixed).unwrap();
    assert_eq!(verify(&good.path, None).unwrap().broken, Some(Break { line: 2, why: Fault::OtherHistory }));
}

#[test]
fn finds_a_log_that_was_cut_together_with_its_tip_by_what_was_noted_elsewhere() {
    let log = Log::filled(5);
    let before = verify(&log.path, None).unwrap();
    let noted: Expected = format!("{}:{}", before.lines, before.last_hash).parse().unwrap();
    let whole = log.bytes();
    let cut = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(3).map(|(at, _)| at + 1).unwrap();
    fs::write(&log.path, &whole[..cut]).unwrap();
    fs::remove_file(log.tip()).unwrap();
    let report = verify(&log.path, Some(&noted)).unwrap();
    assert_eq!((report.ok, report.broken), (false, Some(Break { line: 5, why: Fault::NotExpected })));
    fs::write(&log.path, &whole).unwrap();
    let other: Expected = format!("3:{}", "a".repeat(64)).parse().unwrap();
    let report = verify(&log.path, Some(&other)).unwrap();
    assert_eq!(report.broken, Some(Break { line: 3, why: Fault::NotExpected }));
    for text in ["", "5", "5:", "5:abc", ":", "0:", "x:y", &format!("0:{}", "a".repeat(64))] {
        assert!(text.parse::<Expected>().is_err(), "{text}");
    }
}

#[test]
fn an_emptied_log_without_its_tip_is_not_called_whole() {
    let log = Log::filled(3);
    fs::write(&log.path, "").unwrap();
    assert_eq!(verify(&log.path, None).unwrap().broken, Some(Break { line: 1, why: Fault::CutAtEnd }));
    fs::remove_file(log.tip()).unwrap();
    let report = verify(&log.path, None).unwrap();
    assert_eq!((report.ok, report.lines, report.tip), (false, 0, Tip::Missing));
    assert!(report.to_string().contains("nobody says how many"), "{report}");
}

#[test]
fn says_what_cannot_be_told_without_a_tip() {
    let log = Log::filled(2);
    fs::remove_file(log.tip()).unwrap();
    let report = verify(&log.path, None).unwrap();
    assert_eq!((report.ok, report.tip, report.broken), (false, Tip::Missing, None));
    let report = verify(&log.path, None).unwrap();
    assert!(report.to_string().contains("no tip"), "{report}");
    // What was noted elsewhere stands in for it.
    let noted: Expected = format!("{}:{}", report.lines, report.last_hash).parse().unwrap();
    assert!(verify(&log.path, Some(&noted)).unwrap().ok);
    drop(log.open().unwrap());
    let opened = log.lines().pop().unwrap();
    assert_eq!((&opened["granted"], &opened["input"]["tip-missing"]), (&json!(false), &json!(true)));
}

#[test]
fn a_crash_in_the_middle_of_a_write_loses_at_most_that_line() {
    let log = Log::filled(2);
    let (good, tip) = (log.bytes(), fs::read(log.tip()).unwrap());
    // The line that was being written when the machine stopped: not yet in the tip.
    drop(log.open().unwrap());
    let next = log.bytes()[good.len()..].to_vec();
    for cut in 1..next.len() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log { path: folder.path().join("audit.jsonl"), _folder: folder };
        fs::write(&log.path, [&good[..], &next[..cut]].concat()).unwrap();
        fs::write(log.tip(), &tip).unwrap();
        assert_eq!(verify(&log.path, None).unwrap().torn_bytes, cut as u64);
        drop(log.open().unwrap());
        assert_eq!(&log.bytes()[..good.len()], &good[..], "{cut}: what was written stays");
        assert_eq!(fs::read(file::beside(&log.path, "torn-1")).unwrap(), &next[..cut]);
        let opened = log.lines().pop().unwrap();
        assert_eq!(opened["kind"], "audit.opened");
        assert_eq!((&opened["granted"], &opened["input"]["torn-bytes"]), (&json!(false), &json!(cut)));
        assert_eq!(opened["input"]["torn-file"], "audit.jsonl.torn-1");
        assert!(verify(&log.path, None).unwrap().ok);
    }
}

#[test]
fn blocks_that_were_never_written_are_a_torn_end_too() {
    let log = Log::filled(2);
    let good = log.bytes();
    for rest in [vec![0; 4096], [b"{\"seq\":4,\"at\"".to_vec(), vec![0; 100], b"\n".to_vec()].concat()] {
        fs::write(&log.path, [&good[..], &rest[..]].concat()).unwrap();
        fs::remove_file(log.tip()).unwrap();
        drop(log.open().unwrap());
        assert!(verify(&log.path, None).unwrap().ok);
    }
    assert!(file::beside(&log.path, "torn-1").exists() && file::beside(&log.path, "torn-2").exists());
}

#[test]
fn does_not_open_what_is_cut_changed_or_no_audit_log() {
    let log = Log::filled(3);
    let (good, tip) = (log.bytes(), fs::read(log.tip()).unwrap());
    let last = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let mut changed = good.clone();
    changed[last + 20] ^= 1;
    let mut middle = good.clone();
    middle[20] ^= 1;
    for bytes in [
        good[..last].to_vec(),
        good[..good.len() - 1].to_vec(),
        Vec::new(),
        changed,
        middle,
        b"root:x:0:0\n".to_vec(),
        b"some text".to_vec(),
    ] {
        fs::write(&log.path, &bytes).unwrap();
        assert!(matches!(log.open(), Err(AuditError::Broken { .. })), "{:?}", String::from_utf8_lossy(&bytes));
        assert_eq!(log.bytes(), bytes, "it is left as it is");
    }
    fs::write(&log.path, &good).unwrap();
    fs::write(log.tip(), &tip).unwrap();
    assert!(log.open().is_ok());
}

#[test]
fn without_sync_lines_that_a_power_cut_took_are_counted() {
    let log = Log::filled(3);
    let good = log.bytes();
    let last = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&log.path, &good[..last]).unwrap();
    drop(log.open_with(false, false).unwrap());
    let opened = log.lines().pop().unwrap();
    assert_eq!((&opened["granted"], &opened["input"]["missing-lines"]), (&json!(false), &json!(1)));
}

#[test]
fn a_second_writer_is_refused_while_the_first_lives() {
    let log = Log::new();
    let first = log.open().unwrap();
    assert!(matches!(log.open(), Err(AuditError::Locked { .. })));
    drop(first);
    drop(log.open().unwrap());
    assert_eq!(log.lines().len(), 2);
}

#[cfg(unix)]
#[test]
fn the_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let log = Log::filled(1);
    for path in [&log.path, &log.tip()] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn many_threads_write_one_chain() {
    const THREADS: usize = 8;
    const EACH: usize = 40;
    let log = Log::new();
    let audit = log.open().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..EACH).for_each(|_| audit.record(&login(true)).unwrap()));
        }
    });
    let report = verify(&log.path, None).unwrap();
    assert_eq!((report.ok, report.lines, report.tip), (true, (THREADS * EACH + 1) as u64, Tip::Matches));
}

/// A store that keeps what it is given, counts, and fails on demand.
#[derive(Clone, Default)]
struct Memory {
    durable: Arc<Mutex<Vec<u8>>>,
    appends: Arc<AtomicUsize>,
    /// The appends that fail, by number from 1.
    failing: Arc<Mutex<Vec<usize>>>,
    undo_fails: bool,
}

impl Store for Memory {
    fn append(&mut self, lines: &[u8], _: &End) -> io::Result<()> {
        let number = self.appends.fetch_add(1, Ordering::SeqCst) + 1;
        // A write under way: others get the processor and queue up meanwhile.
        for _ in 0..100 {
            std::thread::yield_now();
        }
        if self.failing.lock().unwrap().contains(&number) {
            return Err(io::Error::other("no space"));
        }
        self.durable.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }

    fn undo(&mut self) -> io::Result<()> {
        if self.undo_fails { Err(io::Error::other("gone")) } else { Ok(()) }
    }
}

fn is_one_chain(bytes: &[u8]) -> bool {
    let mut end = End::genesis();
    bytes.split_inclusive(|byte| *byte == b'\n').all(|line| {
        let link = chain::read(line.strip_suffix(b"\n").unwrap()).unwrap();
        let follows = link.seq == end.seq + 1 && link.prev == end.hash;
        end = End { seq: link.seq, hash: link.hash };
        follows
    })
}

#[test]
fn one_wait_for_the_disk_serves_many_callers() {
    let store = Memory::default();
    let writer = Writer::new(Box::new(store.clone()), End::genesis());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..50).for_each(|_| writer.append(NOW, "\"a\":1").unwrap()));
        }
    });
    let appends = store.appends.load(Ordering::SeqCst);
    assert!(appends < 16 * 50, "{appends} waits for 800 lines");
    let durable = store.durable.lock().unwrap();
    assert_eq!(durable.iter().filter(|byte| **byte == b'\n').count(), 800);
    assert!(is_one_chain(&durable));
}

#[test]
fn a_line_that_did_not_reach_the_file_is_an_error_for_its_caller_alone() {
    let store = Memory { failing: Arc::new(Mutex::new(vec![2, 5, 6, 9])), ..Memory::default() };
    let writer = Writer::new(Box::new(store.clone()), End::genesis());
    let written = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (writer, written) = (&writer, &written);
            scope.spawn(move || {
                for number in 0..20 {
                    if writer.append(NOW, &format!("\"a\":\"{thread}-{number}.\"")).is_ok() {
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let durable = store.durable.lock().unwrap();
    let lines = durable.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, written.load(Ordering::SeqCst), "a yes for exactly the lines that are there");
    assert!(lines < 160 && is_one_chain(&durable));
}

#[test]
fn after_a_failure_that_cannot_be_undone_nothing_is_written() {
    let store = Memory { failing: Arc::new(Mutex::new(vec![1])), undo_fails: true, ..Memory::default() };
    let writer = Writer::new(Box::new(store.clone()), End::genesis());
    for _ in 0..3 {
        assert!(matches!(writer.append(NOW, "\"a\":1"), Err(AuditError::Write(_))));
    }
    assert_eq!(store.appends.load(Ordering::SeqCst), 1);
}

#[test]
fn a_device_is_no_audit_log() {
    for path in ["/dev/full", "/dev/null", "/dev/zero"] {
        let log = Log { path: PathBuf::from(path), _folder: tempfile::tempdir().unwrap() };
        assert!(matches!(log.open(), Err(AuditError::File { .. })), "{path}");
    }
}
