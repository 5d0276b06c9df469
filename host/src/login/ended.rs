//! Logouts that begin at an upstream. It says which of its sessions is over; every session of ours
//! that came from it is over, too. Nobody is asked: a policy decides where a logout ends, not
//! whether one that has happened counts.

use super::{Class, Login, Refusal, Visitor, turn::Turn};
use crate::{
    audit::Kind,
    config::Upstream,
    identity::{GroupClaim, Identity, Protocol},
    session::{Channel, Ended},
    upstream::{self, UpstreamError, Which},
};

impl Login {
    pub(super) async fn do_back_channel_logout(
        &self,
        visitor: &Visitor,
        upstream: &str,
        token: &str,
    ) -> Result<(), Refusal> {
        let turn = Turn::new(self, visitor);
        let upstream = self.upstream_that_says(&turn, upstream)?;
        let proved = self.parts.upstreams.logout_token(upstream, token).await;
        let token = proved.map_err(|error| refused(&turn, upstream, &error))?;
        let key = format!("{}\n{}", upstream.id, token.id);
        let first = self.logout_tokens.take(&key, token.remember_until, turn.now);
        if !first.map_err(|error| turn.unavailable(&error, None))? {
            return Err(turn.refusal(Class::BadRequest, "logout-token-replayed", None));
        }
        self.end_at_upstream(&turn, upstream, token.ended, Channel::Back).await;
        Ok(())
    }

    pub(super) async fn do_front_channel_logout(
        &self,
        visitor: &Visitor,
        upstream: &str,
        issuer: Option<&str>,
        session: Option<&str>,
    ) -> Result<(), Refusal> {
        let turn = Turn::new(self, visitor);
        let upstream = self.upstream_that_says(&turn, upstream)?;
        let ended = self.parts.upstreams.front_channel_logout(upstream, issuer, session);
        let ended = ended.map_err(|error| refused(&turn, upstream, &error))?;
        self.end_at_upstream(&turn, upstream, ended, Channel::Front).await;
        Ok(())
    }

    /// The upstream, where somebody may say something in its name once more.
    fn upstream_that_says<'t>(&self, turn: &'t Turn<'_>, id: &str) -> Result<&'t Upstream, Refusal> {
        if !self.limits.stranger(turn.visitor.address) {
            return Err(turn.refusal(Class::TooOften, "too-many-requests", None));
        }
        let upstream = turn.config.upstreams.get(id);
        upstream.ok_or_else(|| turn.refusal(Class::NotFound, "unknown-upstream", None))
    }

    async fn end_at_upstream(&self, turn: &Turn<'_>, upstream: &Upstream, ended: upstream::Ended, channel: Channel) {
        let upstream::Ended { issuer, which } = ended;
        let (over, subject) = match which {
            Which::Session(sid) => (Ended::Session(issuer.clone(), sid), String::new()),
            Which::Subject(subject) => (Ended::Subject(issuer.clone(), subject.clone()), subject),
        };
        self.revoked.end_at_upstream(over.clone(), channel, turn.latest(), turn.now);
        let gone = self.participants.end_at_upstream(&over, turn.now);
        self.settle(turn).await;
        self.note_absent(turn, &gone).await;
        self.tell(&turn.visitor.request, gone);
        let mut event = turn.event(Kind::SessionEnded);
        event.granted = true;
        event.upstream = Some(upstream.id.clone());
        event.input = Some(serde_json::json!({ "method": method(channel) }));
        event.identity = Some(Identity {
            upstream: upstream.id.clone(),
            protocol: Protocol::Oidc,
            issuer,
            subject,
            email: None,
            groups: GroupClaim::Absent,
            auth_time: None,
            acr: None,
            amr: Vec::new(),
            claims: std::collections::BTreeMap::new(),
        });
        // A logout is never held up by its record; the failure is in the log.
        let _ = turn.record(event).await;
    }
}

const fn method(channel: Channel) -> &'static str {
    match channel {
        Channel::Back => "back-channel-logout",
        Channel::Front => "front-channel-logout",
    }
}

/// An upstream that cannot be asked for its keys may send its token again; a token that is wrong
/// stays wrong.
fn refused(turn: &Turn<'_>, upstream: &Upstream, error: &UpstreamError) -> Refusal {
    let (request, id) = (&turn.visitor.request, &upstream.id);
    tracing::warn!(%request, upstream = id, code = error.code, detail = error.detail, "a logout is refused");
    let of_the_way = ["fetch-", "discovery-", "jwks-"].iter().any(|begin| error.code.starts_with(begin));
    let class = if of_the_way { Class::Upstream } else { Class::BadRequest };
    turn.refusal(class, error.code, None)
}
