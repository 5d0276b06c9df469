//! What the routes ask of the login, as a trait: the tests of this module script the
//! answers, so that they need neither a sandbox nor an upstream.

use std::{future::Future, pin::Pin, sync::Arc};

use serde_json::Value;
use url::Url;

use crate::{
    audit::Event,
    config::Config,
    decision::AccessRequest,
    login::{Answer, Check, Demand, FactorStep, Login, NextRound, Refusal, UnverifiedCallback, Visitor, Wanted},
    secret::Secret,
    session::{Origin, Participant},
};

/// An answer that may have to wait for an upstream or a guest.
pub(super) type Eventually<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Each method is that of [`Login`], with the same name and the same moment.
pub(super) trait Flow: Send + Sync + 'static {
    fn start(&self, visitor: &Visitor, application: &str, rd: Option<&str>, demand: &Demand) -> Answer;
    fn begin<'a>(&'a self, visitor: &'a Visitor, wanted: Wanted) -> Eventually<'a, Answer>;
    fn identified<'a>(&'a self, visitor: &'a Visitor, login: &'a str, identifier: &'a str) -> Eventually<'a, Answer>;
    fn chosen<'a>(&'a self, visitor: &'a Visitor, login: &'a str, upstream: &'a str) -> Eventually<'a, Answer>;
    fn local<'a>(
        &'a self,
        visitor: &'a Visitor,
        login: &'a str,
        username: &'a str,
        password: Secret<String>,
    ) -> Eventually<'a, Answer>;
    fn door(&self, visitor: &Visitor, application: Option<&str>) -> Answer;
    fn knock<'a>(
        &'a self,
        visitor: &'a Visitor,
        login: &'a str,
        username: &'a str,
        password: Secret<String>,
    ) -> Eventually<'a, Answer>;
    fn callback<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        callback: UnverifiedCallback,
    ) -> Eventually<'a, Answer>;
    fn second_factor<'a>(&'a self, visitor: &'a Visitor, step: FactorStep) -> Eventually<'a, Answer>;
    fn enter<'a>(&'a self, visitor: &'a Visitor, application: &'a str, ticket: &'a str) -> Eventually<'a, Answer>;
    fn check<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: &'a str,
        request: &'a AccessRequest,
    ) -> Eventually<'a, Check>;
    fn check_at_once(&self, visitor: &Visitor, application: &str, request: &AccessRequest) -> Option<Check>;
    fn start_url(&self, visitor: &Visitor, application: &str, rd: &str, demand: &Demand) -> Option<Url>;
    fn depart<'a>(&'a self, visitor: &'a Visitor, application: &'a str, rd: Option<&'a str>) -> Eventually<'a, Answer>;
    fn logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: Option<&'a str>,
        rd: Option<&'a str>,
        begun_at: Option<&'a str>,
    ) -> Eventually<'a, Answer>;
    fn round<'a>(&'a self, visitor: &'a Visitor) -> Eventually<'a, NextRound>;
    fn told<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: Option<&'a str>,
        id: &'a str,
        failed: Option<&'a str>,
    ) -> Eventually<'a, Answer>;
    fn logged_out(&self, visitor: &Visitor, state: Option<&str>) -> Answer;
    fn may_attempt(&self, visitor: &Visitor) -> bool;
    fn back_channel_logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        token: &'a str,
    ) -> Eventually<'a, Result<(), Refusal>>;
    fn front_channel_logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        issuer: Option<&'a str>,
        session: Option<&'a str>,
    ) -> Eventually<'a, Result<(), Refusal>>;
    fn may_end_unasked(&self, visitor: &Visitor, sid: Option<&str>) -> bool;
    fn holds(&self, visitor: &Visitor, sid: &str) -> bool;
    fn lives(&self, origin: &Origin) -> bool;
    fn joined(&self, request: &str, participant: Participant);
    fn note<'a>(&'a self, visitor: &'a Visitor, event: Event) -> Eventually<'a, bool>;
    fn config(&self) -> Arc<Config>;
    fn jwks(&self) -> Value;
}

impl Flow for Arc<Login> {
    fn start(&self, visitor: &Visitor, application: &str, rd: Option<&str>, demand: &Demand) -> Answer {
        Login::start(self, visitor, application, rd, demand)
    }

    fn begin<'a>(&'a self, visitor: &'a Visitor, wanted: Wanted) -> Eventually<'a, Answer> {
        Box::pin(Login::begin(self, visitor, wanted))
    }

    fn identified<'a>(&'a self, visitor: &'a Visitor, login: &'a str, identifier: &'a str) -> Eventually<'a, Answer> {
        Box::pin(Login::identified(self, visitor, login, identifier))
    }

    fn chosen<'a>(&'a self, visitor: &'a Visitor, login: &'a str, upstream: &'a str) -> Eventually<'a, Answer> {
        Box::pin(Login::chosen(self, visitor, login, upstream))
    }

    fn local<'a>(
        &'a self,
        visitor: &'a Visitor,
        login: &'a str,
        username: &'a str,
        password: Secret<String>,
    ) -> Eventually<'a, Answer> {
        Box::pin(Login::local(self, visitor, login, username, password))
    }

    fn door(&self, visitor: &Visitor, application: Option<&str>) -> Answer {
        Login::door(self, visitor, application)
    }

    fn knock<'a>(
        &'a self,
        visitor: &'a Visitor,
        login: &'a str,
        username: &'a str,
        password: Secret<String>,
    ) -> Eventually<'a, Answer> {
        Box::pin(Login::knock(self, visitor, login, username, password))
    }

    fn callback<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        callback: UnverifiedCallback,
    ) -> Eventually<'a, Answer> {
        Box::pin(Login::callback(self, visitor, upstream, callback))
    }

    fn second_factor<'a>(&'a self, visitor: &'a Visitor, step: FactorStep) -> Eventually<'a, Answer> {
        Box::pin(Login::second_factor(self, visitor, step))
    }

    fn enter<'a>(&'a self, visitor: &'a Visitor, application: &'a str, ticket: &'a str) -> Eventually<'a, Answer> {
        Box::pin(Login::enter(self, visitor, application, ticket))
    }

    fn check<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: &'a str,
        request: &'a AccessRequest,
    ) -> Eventually<'a, Check> {
        Box::pin(Login::check(self, visitor, application, request))
    }

    fn check_at_once(&self, visitor: &Visitor, application: &str, request: &AccessRequest) -> Option<Check> {
        Login::check_at_once(self, visitor, application, request)
    }

    fn start_url(&self, visitor: &Visitor, application: &str, rd: &str, demand: &Demand) -> Option<Url> {
        Login::start_url(self, visitor, application, rd, demand)
    }

    fn depart<'a>(&'a self, visitor: &'a Visitor, application: &'a str, rd: Option<&'a str>) -> Eventually<'a, Answer> {
        Box::pin(Login::depart(self, visitor, application, rd))
    }

    fn logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: Option<&'a str>,
        rd: Option<&'a str>,
        begun_at: Option<&'a str>,
    ) -> Eventually<'a, Answer> {
        Box::pin(Login::logout(self, visitor, application, rd, begun_at))
    }

    fn round<'a>(&'a self, visitor: &'a Visitor) -> Eventually<'a, NextRound> {
        Box::pin(Login::round(self, visitor))
    }

    fn told<'a>(
        &'a self,
        visitor: &'a Visitor,
        application: Option<&'a str>,
        id: &'a str,
        failed: Option<&'a str>,
    ) -> Eventually<'a, Answer> {
        Box::pin(Login::told(self, visitor, application, id, failed))
    }

    fn logged_out(&self, visitor: &Visitor, state: Option<&str>) -> Answer {
        Login::logged_out(self, visitor, state)
    }

    fn may_attempt(&self, visitor: &Visitor) -> bool {
        Login::may_attempt(self, visitor)
    }

    fn back_channel_logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        token: &'a str,
    ) -> Eventually<'a, Result<(), Refusal>> {
        Box::pin(Login::back_channel_logout(self, visitor, upstream, token))
    }

    fn front_channel_logout<'a>(
        &'a self,
        visitor: &'a Visitor,
        upstream: &'a str,
        issuer: Option<&'a str>,
        session: Option<&'a str>,
    ) -> Eventually<'a, Result<(), Refusal>> {
        Box::pin(Login::front_channel_logout(self, visitor, upstream, issuer, session))
    }

    fn may_end_unasked(&self, visitor: &Visitor, sid: Option<&str>) -> bool {
        Login::may_end_unasked(self, visitor, sid)
    }

    fn note<'a>(&'a self, visitor: &'a Visitor, event: Event) -> Eventually<'a, bool> {
        Box::pin(Login::note(self, visitor, event))
    }

    fn joined(&self, request: &str, participant: Participant) {
        Login::joined(self, request, participant);
    }

    fn holds(&self, visitor: &Visitor, sid: &str) -> bool {
        Login::holds(self, visitor, sid)
    }

    fn lives(&self, origin: &Origin) -> bool {
        Login::lives(self, origin)
    }

    fn config(&self) -> Arc<Config> {
        Login::config(self)
    }

    fn jwks(&self) -> Value {
        Login::jwks(self)
    }
}
