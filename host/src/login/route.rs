//! Which way: the route hook is asked, and its direction carried out.

use std::sync::Arc;

use super::{
    Answer, Choice, Class, FormError, Login, Refusal, Step,
    complete::Proved,
    decide::{Times, UnderWay, Verdict},
    pending::{Onward, Pending, Stage},
    second_factor, target,
    turn::Turn,
};
use crate::{
    audit::Kind,
    config::{Application, Config, UpstreamKind},
    decision::{Answered, Attempt, Denial, DenyCode, Direction, Hook, Redirect, Routed, Trace, WayChosen},
    identity::Protocol,
    policy::Run,
    recording::Noted,
    session::{Entry, Proven, SetCookie, Sso, Ticket},
    upstream::{ACCOUNT_SELECTION_UNSUPPORTED, Request, UpstreamError},
};

impl Login {
    /// Asks the route hook, and goes where it points: with a live single sign-on session
    /// for that upstream, straight to the decision.
    pub(super) async fn route(&self, turn: &Turn<'_>, mut pending: Pending) -> Result<Answer, Refusal> {
        let application = turn.application(&pending.application)?;
        let mut sso = turn.remembered()?;
        let previous = sso.as_ref().map(|sso| sso.identity().upstream.clone());
        if pending.fresh || pending.select_account || pending.step_ups > 0 {
            sso = None;
        }
        if pending.identifier.is_none() {
            pending.identifier = sso.as_ref().and_then(|sso| sso.identifier.clone());
        }
        loop {
            let attempt = Attempt {
                identifier: pending.identifier.clone(),
                upstreams: application.upstreams.clone(),
                previous: previous.clone(),
                failed: pending.failed.clone(),
            };
            let (direction, attempt, run) = match self.ask_route(turn, &pending, application, attempt).await {
                Ok(asked) => asked,
                Err((denial, attempt, trace)) => {
                    let denial = self.record_route(turn, &pending, application, (attempt, Err(denial)), trace).await;
                    return Err(turn.denied(&denial.err().unwrap_or_else(no_route), Some(&pending)));
                }
            };
            let reusable = sso.as_ref().and_then(|sso| Some((sso, reusable(&direction, sso, &pending, turn.now)?)));
            if let Some((known, demanded)) = reusable {
                if let Some(Demanded { acr_values, max_age }) = demanded {
                    (pending.demanded_acr, pending.max_age) = (acr_values, max_age);
                }
                let times = Times { proved: known.began, asked: turn.now };
                let under_way = UnderWay { run, routed: Routed { attempt, direction: direction.clone() } };
                match self.decide(turn, &pending, Some(under_way), known.verified(), times, Vec::new()).await {
                    Verdict::Admitted(admission) => {
                        return self.admitted(turn, pending, *admission, Proved::Before(Box::new(known.clone())));
                    }
                    // More may be had, but not without showing something (OIDC Core §3.1.2.6).
                    Verdict::Denied(denial) if pending.silent && denial.code == DenyCode::StepUpUnmet => {
                        return Err(turn.refusal(Class::Denied, "interaction-required", Some(&pending)));
                    }
                    Verdict::Denied(denial) => {
                        return Err(turn.denied(&denial, Some(&pending)));
                    }
                    Verdict::StepUp(step_up) => {
                        return self.step_up(turn, pending, Proven::before(known, turn.now), step_up).await;
                    }
                    Verdict::Stale => {
                        sso = None;
                        continue;
                    }
                }
            }
            let direction = within_contract(&turn.config, &application.id, direction);
            let trace = run.finish();
            let direction = self
                .record_route(turn, &pending, application, (attempt, direction), trace)
                .await
                .map_err(|denial| turn.denied(&denial, Some(&pending)))?;
            if pending.silent {
                return Err(turn.refusal(Class::Denied, "interaction-required", Some(&pending)));
            }
            match self.follow(turn, &mut pending, application, direction).await? {
                Ok(answer) => return Ok(answer),
                Err((upstream, error)) => {
                    // The policy may know another way; but not the same one twice.
                    if pending.failed.contains(&upstream) {
                        return Err(turn.refusal(Class::Upstream, error.code, Some(&pending)));
                    }
                    pending.failed.push(upstream);
                }
            }
        }
    }

    async fn follow(
        &self,
        turn: &Turn<'_>,
        pending: &mut Pending,
        application: &Application,
        direction: Direction,
    ) -> Result<Result<Answer, (String, UpstreamError)>, Refusal> {
        let answer = match direction {
            Direction::Redirect(redirect) => {
                return Ok(self.leave(turn, pending, &redirect).await?.map_err(|error| (redirect.upstream, error)));
            }
            Direction::LocalForm => {
                let upstream = local_upstream(&application.upstreams, &turn.config).unwrap_or_default();
                self.local_form(turn, pending, upstream)?
            }
            Direction::AskIdentifier => {
                // Asked again with an identifier in hand: it is one that leads nowhere.
                let typed = pending.identifier.take();
                let error = typed.as_ref().map(|_| FormError::Identifier);
                pending.stage = Stage::Identifier;
                let cookies = turn.keep(pending)?;
                ask_identifier(pending, typed.unwrap_or_default(), error, cookies)
            }
            Direction::Choose(offered) => {
                let choices = offered.iter().map(|redirect| choice(turn, &redirect.upstream)).collect();
                pending.stage = Stage::Choice { offered };
                let cookies = turn.keep(pending)?;
                let (login, application) = (pending.id.clone(), pending.application.clone());
                let error = pending.failed.last().map(|_| FormError::Upstream);
                Answer::with(Step::Choose { login, application, choices, error }, cookies)
            }
            Direction::ApplicationForm => self.issue(turn, pending, Entry::Anonymous, turn.forget(pending))?,
            Direction::Refuse(reason) => {
                let denial = Denial { code: DenyCode::PolicyDenied, reason, policy: None, hook: Some(Hook::Route) };
                return Err(turn.denied(&denial, Some(pending)));
            }
        };
        Ok(Ok(answer))
    }

    /// To an upstream; or to our own form, where the upstream is ourselves. The inner
    /// error is the upstream's.
    pub(super) async fn leave(
        &self,
        turn: &Turn<'_>,
        pending: &mut Pending,
        redirect: &Redirect,
    ) -> Result<Result<Answer, UpstreamError>, Refusal> {
        let application = turn.application(&pending.application)?;
        let Some(upstream) = turn
            .config
            .upstreams
            .get(&redirect.upstream)
            .filter(|upstream| application.upstreams.contains(&upstream.id))
        else {
            return Err(turn.refusal(Class::Denied, DenyCode::UnknownUpstream.name(), Some(pending)));
        };
        // What was demanded stays demanded, however often the login is sent back.
        pending.demanded_acr = narrowed(&redirect.acr_values, &pending.demanded_acr);
        pending.max_age = min_of(redirect.max_age, pending.max_age);
        if matches!(upstream.kind, UpstreamKind::Local) {
            return self.local_form(turn, pending, upstream.id.clone()).map(Ok);
        }
        let demanded = &pending.demanded_acr;
        // What we prove ourselves, nobody else need; how lately, too.
        let is_ours = second_factor::answers(demanded);
        // The upstream may answer with any of these. A policy's own stand alone: beside them, a
        // relying party's wish would be a weaker way to satisfy the policy.
        let acr_values = match demanded.is_empty() {
            _ if is_ours => Vec::new(),
            true => pending.acr_values.clone(),
            false => demanded.clone(),
        };
        let state = pending.new_state().map_err(|error| turn.unavailable(&error, Some(pending)))?;
        let request = Request {
            redirect_uri: target::callback(&turn.config.server.public_url, upstream),
            state: state.clone(),
            login_hint: redirect.login_hint.clone().or_else(|| pending.login_hint.clone()),
            acr_values,
            max_age: pending.max_age.filter(|_| !is_ours),
            fresh: pending.fresh,
            // Once: whoever is sent back for more has chosen.
            select_account: pending.select_account && pending.step_ups == 0,
        };
        let (to, exchange) = match self.parts.upstreams.begin(upstream, &request).await {
            Ok(begun) => begun,
            // Not for a policy to go around: it is the person who was to choose (OIDC Core §3.1.2.6).
            Err(error) if error.code == ACCOUNT_SELECTION_UNSUPPORTED => {
                tracing::info!(request = %turn.visitor.request, upstream = upstream.id, %error, "no account to choose");
                return Err(turn.refusal(Class::Denied, error.code, Some(pending)));
            }
            Err(error) => {
                tracing::warn!(request = %turn.visitor.request, upstream = upstream.id, %error, "an upstream failed");
                return Ok(Err(error));
            }
        };
        pending.stage = Stage::Upstream { state, exchange: Box::new(exchange) };
        let cookies = turn.keep(pending)?;
        Ok(Ok(Answer::with(
            Step::Leave {
                to,
                delay: redirect.delay,
                upstream: upstream.display_name.clone(),
                application_name: application.display_name.clone(),
            },
            cookies,
        )))
    }

    fn local_form(&self, turn: &Turn<'_>, pending: &mut Pending, upstream: String) -> Result<Answer, Refusal> {
        // A password proves no more than that, whatever was asked for.
        if !pending.demanded_acr.is_empty() && !second_factor::answers(&pending.demanded_acr) {
            return Err(turn.refusal(Class::Denied, DenyCode::StepUpUnmet.name(), Some(pending)));
        }
        pending.stage = Stage::Local { upstream };
        let cookies = turn.keep(pending)?;
        let username = pending.identifier.clone().or_else(|| pending.login_hint.clone()).unwrap_or_default();
        Ok(Answer::with(
            Step::LocalForm {
                login: pending.id.clone(),
                application: pending.application.clone(),
                username,
                error: None,
            },
            cookies,
        ))
    }

    /// A ticket to the application's host.
    pub(super) fn issue(
        &self,
        turn: &Turn<'_>,
        pending: &Pending,
        entry: Entry,
        cookies: Vec<SetCookie>,
    ) -> Result<Answer, Refusal> {
        let Onward::ForwardAuth { origin, return_to, binding } = &pending.onward else {
            // A relying party cannot be told to let somebody in as nobody.
            return Err(turn.refusal(Class::Denied, "application-form-not-possible", Some(pending)));
        };
        let ticket = Ticket {
            application: pending.application.clone(),
            origin: origin.origin().ascii_serialization(),
            binding: binding.clone(),
            return_to: return_to.clone(),
            entry,
        };
        let name = self.tickets.issue(ticket, turn.now).map_err(|error| turn.unavailable(&error, Some(pending)))?;
        let to = target::address(origin, &["vestibule", "enter", &pending.application], &[("ticket", &name)]);
        Ok(Answer::with(Step::Redirect(to), cookies))
    }

    async fn ask_route(
        &self,
        turn: &Turn<'_>,
        pending: &Pending,
        application: &Application,
        attempt: Attempt,
    ) -> Result<(Direction, Attempt, Run), (Denial, Attempt, Trace)> {
        let generation = Arc::clone(&turn.generation);
        let context = turn.context(&pending.id, application, pending.return_to());
        let asked = tokio::task::spawn_blocking(move || {
            let mut run = match generation.begin(context) {
                Ok(run) => run,
                Err((denial, trace)) => return Err((denial, attempt, trace)),
            };
            match run.route(&attempt) {
                Ok(direction) => Ok((direction, attempt, run)),
                Err(denial) => Err((denial, attempt, run.finish())),
            }
        });
        asked.await.unwrap_or_else(|error| {
            tracing::error!(request = %turn.visitor.request, %error, "the route's task failed");
            let denial = Denial::by_host(DenyCode::Sandbox, "the decision's task failed");
            Err((denial, Attempt::default(), Trace::default()))
        })
    }

    async fn record_route(
        &self,
        turn: &Turn<'_>,
        pending: &Pending,
        application: &Application,
        (attempt, direction): (Attempt, Result<Direction, Denial>),
        trace: Trace,
    ) -> Result<Direction, Denial> {
        let chosen = self.parts.recorder.as_ref().map(|_| WayChosen {
            request: turn.visitor.request.to_string(),
            generation: Arc::clone(&trace.generation_digest),
            context: turn.context(&pending.id, application, pending.return_to()),
            attempt,
            direction: direction.clone(),
            answers: trace.answers.iter().map(Answered::from).collect(),
        });
        let mut event = turn.event(Kind::Route);
        event.login = Some(pending.id.clone());
        event.tenant = Some(application.tenant.clone());
        event.application = Some(application.id.clone());
        event.trace = Some(trace);
        match &direction {
            Ok(Direction::Refuse(reason)) => {
                event.denial = Some(Denial {
                    code: DenyCode::PolicyDenied,
                    reason: reason.clone(),
                    policy: None,
                    hook: Some(Hook::Route),
                });
            }
            Ok(direction) => {
                event.granted = true;
                if let Direction::Redirect(redirect) = direction {
                    event.upstream = Some(redirect.upstream.clone());
                }
                event.outcome = serde_json::to_value(direction).ok();
            }
            Err(denial) => event.denial = Some(denial.clone()),
        }
        turn.record(event).await?;
        if let (Some(recorder), Some(chosen)) = (&self.parts.recorder, chosen) {
            recorder.note(Noted::Way {
                chosen: Box::new(chosen),
                recipe: turn.generation.recipe(&application.id).cloned(),
            });
        }
        direction
    }
}

/// What is yet to be held against an identity that was proved before: our own second factor.
struct Demanded {
    acr_values: Vec<String>,
    max_age: Option<u32>,
}

/// May the identity that was proved before answer this direction? Only if it was proved by
/// the very upstream to which the policy sends, as strongly and as lately as is asked; where our own
/// second factor will do, the decision holds it to that.
fn reusable(direction: &Direction, sso: &Sso, pending: &Pending, now: u64) -> Option<Option<Demanded>> {
    match direction {
        Direction::Redirect(redirect) => may_answer(redirect, sso, pending, now),
        Direction::Choose(offered) => offered.iter().find_map(|redirect| may_answer(redirect, sso, pending, now)),
        Direction::LocalForm if sso.identity().protocol == Protocol::Local => {
            let upstream = sso.identity().upstream.clone();
            may_answer(&Redirect { upstream, ..Redirect::default() }, sso, pending, now)
        }
        Direction::LocalForm | Direction::ApplicationForm | Direction::AskIdentifier | Direction::Refuse(_) => None,
    }
}

/// What satisfies a new demand and those before it; where nothing does, the new one alone: the
/// policies are asked again, and whoever is still not satisfied says so.
pub(super) fn narrowed(new: &[String], before: &[String]) -> Vec<String> {
    let both: Vec<String> = new.iter().filter(|acr| before.contains(acr)).cloned().collect();
    match (new.is_empty(), both.is_empty()) {
        (true, _) => before.to_vec(),
        (false, true) => new.to_vec(),
        (false, false) => both,
    }
}

fn may_answer(redirect: &Redirect, sso: &Sso, pending: &Pending, now: u64) -> Option<Option<Demanded>> {
    let max_age = min_of(redirect.max_age, pending.max_age);
    let acr_values = narrowed(&redirect.acr_values, &pending.demanded_acr);
    if redirect.upstream != sso.identity().upstream || !sso.satisfies(None, &[], now) {
        return None;
    }
    if second_factor::answers(&acr_values) {
        return Some(Some(Demanded { acr_values, max_age }));
    }
    let is_met = sso.satisfies(max_age, &redirect.acr_values, now)
        && sso.satisfies(None, &pending.demanded_acr, now)
        && sso.satisfies(None, &pending.acr_values, now);
    is_met.then_some(None)
}

/// A direction leads only to upstreams of this application.
pub(super) fn within_contract(config: &Config, application: &str, direction: Direction) -> Result<Direction, Denial> {
    let open = config.applications.get(application).map(|application| application.upstreams.as_slice());
    let open = open.unwrap_or_default();
    let is_open = |id: &String| open.contains(id) && config.upstreams.contains_key(id);
    let foreign = |id: &str| {
        Denial::by_host(
            DenyCode::UnknownUpstream,
            format!("upstream `{}` is not open to this application", id.escape_default()),
        )
    };
    match &direction {
        Direction::Redirect(redirect) if !is_open(&redirect.upstream) => Err(foreign(&redirect.upstream)),
        Direction::Choose(offered) if offered.is_empty() => Err(no_route()),
        Direction::Choose(offered) => match offered.iter().find(|redirect| !is_open(&redirect.upstream)) {
            Some(redirect) => Err(foreign(&redirect.upstream)),
            None => Ok(direction),
        },
        Direction::LocalForm if local_upstream(open, config).is_none() => {
            Err(Denial::by_host(DenyCode::UnknownUpstream, "this application has no upstream of kind `local`"))
        }
        _ => Ok(direction),
    }
}

fn local_upstream(open: &[String], config: &Config) -> Option<String> {
    open.iter()
        .filter_map(|id| config.upstreams.get(id))
        .find(|upstream| matches!(upstream.kind, UpstreamKind::Local))
        .map(|upstream| upstream.id.clone())
}

fn choice(turn: &Turn<'_>, id: &str) -> Choice {
    let name = turn.config.upstreams.get(id).map_or(id, |upstream| upstream.display_name.as_str());
    Choice { id: id.to_owned(), name: name.to_owned() }
}

pub(super) fn ask_identifier(
    pending: &Pending,
    identifier: String,
    error: Option<FormError>,
    cookies: Vec<SetCookie>,
) -> Answer {
    let (login, application) = (pending.id.clone(), pending.application.clone());
    Answer::with(Step::AskIdentifier { login, application, identifier, error }, cookies)
}

fn no_route() -> Denial {
    Denial::by_host(DenyCode::NoRoute, "the policies offered no upstream")
}

pub(super) fn min_of(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
