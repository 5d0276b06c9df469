//! What chains make of good answers, what contracts make of bad ones, and what guests see.

use std::sync::Arc;

use serde_json::json;

use super::{
    Cache, Chain, Engine, LoadedPolicy, Run,
    testing::{ANSWER, Bytes, Guest, TEXT, context, engine, identity},
};
use crate::{
    config::Limits,
    decision::{
        AccessRequest, AccessVerdict, Account, Admit, Attempt, Claim, Denial, DenyCode, Direction, Hook, Plan, Profile,
        Rules, SessionTerms, StepUp, Trace, Update, Value,
    },
    identity::{GroupClaim, Identity, VerifiedIdentity},
    secret::Secret,
};

type Policies = Vec<Arc<LoadedPolicy>>;

const MAXIMUM: SessionTerms = SessionTerms { lifetime: 3600, idle: 600, remember: true };

fn load(engine: &Engine, guests: &[Guest]) -> Policies {
    guests.iter().map(|guest| guest.load(engine).unwrap()).collect()
}

fn run(policies: &Policies) -> Run {
    Run::new(&Chain::new(policies.clone()), context(), 7, "digest".into()).unwrap()
}

fn verified() -> VerifiedIdentity {
    VerifiedIdentity::assertion(identity())
}

fn admit(guests: &[Guest]) -> (Result<Admit, Denial>, Trace) {
    let mut run = run(&load(&engine(|_| {}), guests));
    (run.admit(&verified(), None), run.finish())
}

fn pass() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(0).done())
}

fn allow() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(1).reason("fine").done()).text("fine")
}

fn deny() -> Guest {
    Guest::answering(Hook::Admit, &Bytes::default().word(2).reason("no").done()).text("no")
}

fn step_up(max_age: u32) -> Guest {
    let answer = Bytes::default().word(3).list(2048, 1).word(1).word(max_age).list(TEXT + 3, 3).list(0, 0).done();
    Guest::answering(Hook::Admit, &answer).data(2048, &Bytes::default().list(TEXT, 3).done()).text("mfaold")
}

fn terms(lifetime: u32, idle: u32, remember: bool) -> Guest {
    Guest::answering(Hook::Session, &Bytes::default().word(lifetime).word(idle).word(remember.into()).done())
}

fn session(guests: &[Guest]) -> SessionTerms {
    run(&load(&engine(|_| {}), guests)).session(&verified(), &[], MAXIMUM).unwrap()
}

#[test]
fn a86_no_policy_denies_everybody() {
    let (denial, trace) = Run::new(&Chain::new(Vec::new()), context(), 1, "d".into()).unwrap_err();
    assert_eq!((denial.code, trace.answers.len()), (DenyCode::NoPolicy, 0));
}

#[test]
fn a86_a_chain_without_a_policy_for_admit_or_without_an_allow_denies() {
    for guests in [&[terms(1, 1, true)][..], &[pass()], &[pass(), pass()], &[step_up(5)], &[pass(), step_up(5)]] {
        assert_eq!(admit(guests).0.unwrap_err().code, DenyCode::NotAllowed);
    }
}

#[test]
fn any_deny_wins_wherever_it_stands() {
    for guests in [&[deny(), allow()][..], &[allow(), deny()], &[allow(), step_up(5), deny(), allow()]] {
        let denial = admit(guests).0.unwrap_err();
        assert_eq!((denial.code, denial.reason.code.as_str()), (DenyCode::PolicyDenied, "no"));
    }
}

#[test]
fn one_allow_among_passes_allows_and_the_trace_has_every_answer() {
    let (admitted, trace) = admit(&[pass(), allow(), pass()]);
    assert!(matches!(admitted, Ok(Admit::Allow(reasons)) if reasons.len() == 1 && reasons[0].code == "fine"));
    let answers: Vec<_> = trace.answers.iter().map(|answer| answer.answer.tree()).collect();
    assert_eq!(answers, [json!("pass"), json!({ "allow": { "code": "fine" } }), json!("pass")]);
    assert!(trace.answers.iter().all(|answer| answer.fuel > 0 && answer.hook == Hook::Admit));
    assert_eq!((trace.generation, &*trace.generation_digest, trace.policies.len()), (7, "digest", 3));
}

#[test]
fn step_ups_add_up() {
    let (admitted, _) = admit(&[step_up(60), allow(), step_up(30)]);
    let Ok(Admit::StepUp(StepUp { acr_values, max_age, reasons })) = admitted else { panic!("{admitted:?}") };
    assert_eq!((acr_values, max_age, reasons.len()), (vec!["mfa".to_owned()], Some(30), 2));
}

#[test]
fn after_a_denial_nothing_more_is_asked() {
    let guests = [deny().hook(Hook::Session, "(unreachable)"), terms(1, 1, true)];
    let mut run = run(&load(&engine(|_| {}), &guests));
    let denial = run.admit(&verified(), None).unwrap_err();
    assert_eq!(run.session(&verified(), &[], MAXIMUM).unwrap_err(), denial);
    assert_eq!(run.finish().answers.len(), 1);
}

#[test]
fn the_shortest_session_wins_and_none_is_longer_than_the_maximum() {
    assert_eq!(session(&[terms(9999, 9999, true)]), MAXIMUM);
    assert_eq!(
        session(&[terms(100, 50, true), terms(200, 20, true)]),
        SessionTerms { lifetime: 100, idle: 20, remember: true }
    );
    assert_eq!(session(&[terms(100, 500, false)]), SessionTerms { lifetime: 100, idle: 100, remember: false });
    assert!(!session(&[terms(100, 50, false), terms(100, 50, true)]).remember);
    assert_eq!(session(&[allow()]), MAXIMUM);
}

#[test]
fn the_first_direction_wins() {
    let attempt = Attempt { upstreams: vec!["corp".into()], ..Attempt::default() };
    let answering = |case: u32| Guest::answering(Hook::Route, &Bytes::default().word(case).done());
    let (pass, ask, form) = (answering(0), answering(2), answering(4));
    let route = |guests: &[Guest]| run(&load(&engine(|_| {}), guests)).route(&attempt).map_err(|denial| denial.code);
    assert_eq!(route(&[pass.clone(), ask.clone(), form.clone()]), Ok(Direction::AskIdentifier));
    assert_eq!(route(&[form, ask]), Ok(Direction::LocalForm));
    assert_eq!(route(&[pass.clone(), pass]), Err(DenyCode::NoRoute));
    assert_eq!(route(&[allow()]), Err(DenyCode::NoRoute));
}

#[test]
fn a85_a_redirect_to_a_foreign_upstream_denies_and_names_the_policy() {
    let redirect = |to: &str| {
        let answer =
            Bytes::default().word(1).list(TEXT, to.len()).word(0).word(0).list(0, 0).list(0, 0).word(0).word(0);
        Guest::answering(Hook::Route, &answer.done()).text(to)
    };
    let attempt = Attempt { upstreams: vec!["corp".into()], ..Attempt::default() };
    let route = |to: &str| {
        let mut run = run(&load(&engine(|_| {}), &[redirect(to)]));
        (run.route(&attempt), run.finish())
    };
    assert!(matches!(route("corp").0, Ok(Direction::Redirect(redirect)) if redirect.upstream == "corp"));
    for to in ["other", "https://evil.example", "corp\n", "../corp"] {
        let (denied, trace) = route(to);
        let denial = denied.unwrap_err();
        assert_eq!((denial.code, denial.policy.as_deref()), (DenyCode::UnknownUpstream, Some("guest")), "{to:?}");
        assert_eq!(trace.answers[0].answer.tree()["failed"], json!("unknown-upstream"));
    }
}

/// A profile with one attribute of text.
fn attribute(name: &str, value: &str) -> Guest {
    let profile = [0_u32; 19].into_iter().fold(Bytes::default(), Bytes::word).list(2048, 1);
    let texts = TEXT + u32::try_from(name.len()).unwrap();
    let claim = Bytes::default().list(TEXT, name.len()).word(0).word(0).list(texts, value.len()).done();
    Guest::answering(Hook::Profile, &profile.done()).data(2048, &claim).text(&format!("{name}{value}"))
}

#[test]
fn a83_a84_a_profile_with_a_reserved_claim_or_an_unsafe_value_denies() {
    let profile =
        |name: &str, value: &str| run(&load(&engine(|_| {}), &[attribute(name, value)])).profile(&verified(), None);
    let good = profile("department", "R&D").unwrap();
    assert_eq!(good.attributes, [Claim { name: "department".into(), value: Value::Text("R&D".into()) }]);
    for name in ["sub", "iss", "Cookie", "X_Forwarded_User", "groups"] {
        let denial = profile(name, "x").unwrap_err();
        assert_eq!((denial.code, denial.policy.as_deref()), (DenyCode::ReservedClaim, Some("guest")), "{name}");
    }
    for value in ["a\r\nb", "a\0", ""] {
        assert_eq!(profile("department", value).unwrap_err().code, DenyCode::UnsafeValue, "{value:?}");
    }
}

/// A plan that grants one group and excludes another.
fn grant(group: &str, exclude: Option<&str>, may_grant: &str) -> Guest {
    let at = TEXT + 100;
    let excluded = exclude.unwrap_or_default();
    let answer = Bytes::default().list(2048, 1).word(0).list(2200, exclude.iter().count()).word(0);
    Guest::answering(Hook::Groups, &answer.done())
        .data(2048, &Bytes::default().list(at, group.len()).reason("mapped").done())
        .data(2200, &Bytes::default().list(at + 100, excluded.len()).done())
        .text("mapped")
        .data(at, group.as_bytes())
        .data(at + 100, excluded.as_bytes())
        .manifest("may-grant", json!([may_grant]))
}

fn groups(guests: &[Guest], rules: &Rules) -> (Result<Plan, Denial>, Trace) {
    let mut run = run(&load(&engine(|_| {}), guests));
    (run.groups(&verified(), None, &Profile::default(), rules), run.finish())
}

fn granted(plan: &Plan) -> Vec<&str> {
    plan.grants.iter().map(|grant| grant.group.as_str()).collect()
}

#[test]
fn a_grant_that_the_manifest_does_not_cover_denies() {
    let (plan, _) = groups(&[grant("app-users", None, "app-*")], &Rules::default());
    assert_eq!(granted(&plan.unwrap()), ["app-users"]);
    let (plan, trace) = groups(&[grant("admins", None, "app-*")], &Rules::default());
    assert_eq!(plan.unwrap_err().code, DenyCode::GrantNotCovered);
    assert_eq!(trace.answers[0].answer.tree()["failed"], json!("grant-not-covered"));
}

#[test]
fn protected_and_excluded_groups_are_taken_out_after_each_policy() {
    let rules = Rules { protected: ["root".to_owned()].into(), known: None };
    let (plan, trace) = groups(&[grant("root", None, "*")], &rules);
    assert_eq!(granted(&plan.unwrap()), [""; 0]);
    assert_eq!(trace.answers[0].dropped, ["root: group-protected"]);
    // What the first excludes, the second does not bring back.
    let (plan, trace) = groups(&[grant("staff", Some("ops"), "*"), grant("ops", None, "*")], &Rules::default());
    let plan = plan.unwrap();
    assert_eq!((granted(&plan), plan.exclude.as_slice()), (vec![], &["ops".to_owned()][..]));
    assert_eq!(trace.answers[1].dropped, ["ops: group-excluded"]);
}

#[test]
fn the_most_restrictive_provision_wins() {
    let permit = |refuse: bool, update: u32, reactivate: bool| {
        let update = update | u32::from(reactivate) << 8;
        let answer = Bytes::default().word(refuse.into()).reason("no").word(update);
        Guest::answering(Hook::Provision, &answer.done()).text("no")
    };
    let provision = |guests: &[Guest]| {
        let mut run = run(&load(&engine(|_| {}), guests));
        run.provision(&verified(), None, &Profile::default(), &Plan::default()).unwrap()
    };
    let one = provision(&[permit(false, 2, true)]);
    assert_eq!((one.refuse_creation, one.update_attributes, one.reactivate), (None, Update::EveryLogin, true));
    let both = provision(&[permit(true, 1, true), permit(false, 2, false)]);
    assert_eq!((both.refuse_creation.unwrap().code.as_str(), both.update_attributes), ("no", Update::OnCreation));
    assert!(!both.reactivate);
    assert!(!provision(&[allow()]).reactivate);
}

#[test]
fn access_denies_before_it_asks_for_a_newer_login_and_asks_only_for_its_paths() {
    let pass = Guest::answering(Hook::Access, &Bytes::default().word(0).done());
    let again = |seconds| {
        let answer = Bytes::default().word(2).list(0, 0).word(1).word(seconds).list(TEXT, 3).list(0, 0).done();
        Guest::answering(Hook::Access, &answer).text("old")
    };
    let denied = Bytes::default().word(1).reason("no").done();
    let deny = Guest::answering(Hook::Access, &denied).text("no");
    let access = |guests: &[Guest], path: &str| {
        let request = AccessRequest { method: "GET".into(), host: "wiki".into(), path: path.into() };
        run(&load(&engine(|_| {}), guests)).access(&identity(), &[], &request).map_err(|denial| denial.code)
    };
    let Ok(AccessVerdict::Reauthenticate(asked)) = access(&[pass.clone(), again(60), again(30)], "/admin/x") else {
        panic!("not asked for");
    };
    assert_eq!((asked.max_age, asked.acr_values.len(), asked.reasons.len()), (Some(30), 0, 2));
    assert_eq!(access(&[again(60), deny.clone(), pass.clone()], "/admin/x/y"), Err(DenyCode::PolicyDenied));
    assert_eq!(access(&[deny], "/other"), Ok(AccessVerdict::Pass));
    assert_eq!(access(&[pass], "/admin/"), Ok(AccessVerdict::Pass));
}

#[test]
fn the_first_ending_wins_and_is_safe() {
    let none = Guest::answering(Hook::Logout, &Bytes::default().word(0).done());
    let end = |target: &str| {
        let answer = Bytes::default().word(1).word(1).word(1).list(TEXT, target.len()).done();
        Guest::answering(Hook::Logout, &answer).text(target)
    };
    let logout = |guests: &[Guest]| run(&load(&engine(|_| {}), guests)).logout(&identity(), None);
    let ending = logout(&[none.clone(), end("https://a.example/"), end("https://b.example/")]).unwrap().unwrap();
    assert_eq!((ending.at_upstream, ending.target.as_deref()), (true, Some("https://a.example/")));
    assert_eq!(logout(&[none]), Ok(None));
    assert_eq!(logout(&[end("https://a.example/\r\nSet-Cookie: a=b")]).unwrap_err().code, DenyCode::UnsafeValue);
}

/// A guest whose session lasts as many seconds as the number at `offset` of its arguments.
fn telling(offset: u32) -> Guest {
    let body =
        format!("(i32.store (i32.const {}) (i32.load offset={offset} (local.get 0))) (i32.const {ANSWER})", ANSWER + 4);
    Guest::new(Hook::Session, &body).data(ANSWER, &Bytes::default().word(0).word(0).word(600).word(0).done())
}

#[test]
fn a_guest_sees_the_claims_and_facts_that_its_manifest_names_and_no_others() {
    // In the contract's layout: `context.facts` has its length at 48, `identity.claims` at 160.
    let claims = ["dept", "mail", "tid", "access_token"].map(|name| (name.to_owned(), json!(name)));
    let identity = VerifiedIdentity::assertion(Identity { claims: claims.into(), ..identity() });
    let facts = ["request.host", "request.path", "header.cookie", "header.accept"];
    let facts = facts.map(|name| Claim { name: name.into(), value: Value::Text("x".into()) });
    let engine = engine(|_| {});
    let seen = |guest: Guest| {
        let context = crate::decision::Context { facts: facts.clone().into(), ..context() };
        let chain = Chain::new(load(&engine, &[guest]));
        let mut run = Run::new(&chain, context, 1, "d".into()).unwrap();
        run.session(&identity, &[], MAXIMUM).unwrap().lifetime
    };
    assert_eq!(seen(telling(160)), 0);
    assert_eq!(seen(telling(160).manifest("reads", json!(["dept", "absent"]))), 1);
    assert_eq!(seen(telling(160).manifest("reads", json!(["dept", "*t*"]))), 2);
    assert_eq!(seen(telling(160).manifest("reads", json!(["*"]))), 3);
    assert_eq!(seen(telling(48)), 0);
    assert_eq!(seen(telling(48).manifest("facts", json!(["request.host", "header.accept"]))), 2);
}

#[test]
fn a_guest_sees_the_groups_that_its_manifest_names_and_no_others() {
    // In the contract's layout: the case of `identity.groups` is at 104 and its length at 112;
    // the length of the granted groups at 172.
    const REPORTED: [u32; 2] = [104, 112];
    const GRANTED: u32 = 172;
    let groups = GroupClaim::Listed(vec!["a".into(), "b".into()]);
    let identity = VerifiedIdentity::assertion(Identity { groups, ..identity() });
    let granted = ["x", "y", "z"].map(str::to_owned);
    let engine = engine(|_| {});
    let seen = |reads: Option<&[&str]>| {
        let guest = |offset| match reads {
            Some(reads) => telling(offset).manifest("reads-groups", json!(reads)),
            None => telling(offset),
        };
        let told = |offset| {
            let mut run = run(&load(&engine, &[guest(offset)]));
            run.session(&identity, &granted, MAXIMUM).unwrap().lifetime
        };
        (REPORTED.map(told), told(GRANTED))
    };
    assert_eq!(seen(None), ([3, 2], 3));
    assert_eq!(seen(Some(&["reported"])), ([3, 2], 0));
    assert_eq!(seen(Some(&["granted", "account"])), ([0, 0], 3));
    assert_eq!(seen(Some(&[])), ([0, 0], 0));
}

#[test]
fn every_login_starts_from_what_configure_left() {
    // `configure` keeps the length of its settings; each call adds one to it.
    let guest = Guest::new(
        Hook::Session,
        &format!(
            "(i32.store (i32.const 256) (i32.add (i32.load (i32.const 256)) (i32.const 1)))
             (i32.store (i32.const {}) (i32.load (i32.const 256))) (i32.const {ANSWER})",
            ANSWER + 4
        ),
    )
    .data(ANSWER, &Bytes::default().word(0).word(0).word(600).word(0).done())
    .configure("(i32.store (i32.const 256) (local.get 1)) (i32.const 512)");
    let settings = json!({ "a": "bc" });
    let length = u32::try_from(settings.to_string().len()).unwrap();
    let policies = vec![guest.load_with(&engine(|_| {}), &settings).unwrap()];
    for _ in 0..3 {
        let mut run = run(&policies);
        let mut lifetime = || run.session(&verified(), &[], MAXIMUM).unwrap().lifetime;
        assert_eq!((lifetime(), lifetime()), (length + 1, length + 2));
    }
}

#[test]
fn the_same_question_has_the_same_answer_for_the_same_fuel() {
    let policies = load(&engine(|_| {}), &[allow(), step_up(30)]);
    let decide = || {
        let mut run = run(&policies);
        let admitted = run.admit(&verified(), Some(&Account::default())).unwrap();
        let answers =
            run.finish().answers.into_iter().map(|answer| (answer.answer.tree(), answer.fuel)).collect::<Vec<_>>();
        (admitted, answers)
    };
    let first = decide();
    assert!((0..50).all(|_| decide() == first));
}

#[test]
fn native_code_comes_from_the_cache_and_decides_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("code");
    let with_cache = |key: u8| {
        let cache = Cache::open(&path, &Secret::new(vec![key; 32])).unwrap();
        Engine::new(&Limits { decisions_max: 4, ..Limits::default() }, Some(cache)).unwrap()
    };
    let entries = || std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let decide = |engine: &Engine, settings| {
        let policies = vec![allow().load_with(engine, &settings).unwrap()];
        run(&policies).admit(&verified(), None).is_ok()
    };
    assert!(decide(&with_cache(1), json!({})));
    assert_eq!(entries().len(), 2);
    let written = || entries().iter().map(|path| path.metadata().unwrap().modified().unwrap()).max();
    let before = written();
    assert!(decide(&with_cache(1), json!({})));
    assert_eq!((entries().len(), written()), (2, before));
    // New settings reuse the instrumented code.
    assert!(decide(&with_cache(1), json!({ "a": 1 })));
    assert_eq!(entries().len(), 3);
    // Code under another key is not ours, and is made again.
    assert!(decide(&with_cache(2), json!({})));
    assert_ne!(written(), before);
    for entry in entries() {
        std::fs::write(entry, b"not native code, nor with a MAC of ours, at all, in any way").unwrap();
    }
    assert!(decide(&with_cache(2), json!({})));
}
