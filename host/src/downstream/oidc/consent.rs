//! Consent (OIDC Core §3.1.2.4): what was decided is held back until the person said whether the relying party may
//! be told. Asked where the client is configured so, and where it wants it (`prompt=consent`).
//!
//! The question lives in memory and can be answered once, by the browser whose session it is about: `http` holds
//! it to that.

use std::sync::{Mutex, PoisonError};

use url::Url;

use super::{
    Provider, Refused,
    agreed::Whose,
    authorize::{AuthorizeRequest, error_url, with_code},
    claims,
    client::Client,
    grants::Grant,
    issuer, sha256,
};
use crate::{
    config::Config,
    decision::Admission,
    secret::random_token,
    session::{Expiring, Origin, Participant},
};

/// Questions that wait for an answer at one time; further ones are not asked.
const WAITING_MAX: usize = 10_000;

/// What an authorization request comes to once the login ended in yes.
#[derive(Debug)]
pub enum Reply {
    /// The person is asked first, on this page of ours.
    Ask(Url),
    /// The browser brings a code. Whoever takes part in the session is to be remembered before.
    Code {
        /// Where to.
        to: Url,
        /// Who hears of the session's end.
        participant: Option<Box<Participant>>,
    },
    /// The browser brings an error: the person does not agree, or would have to be asked where nothing may be shown.
    Error(Url),
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The application's id.
    pub application: String,
    /// The relying party's id.
    pub client_id: String,
    /// What people call it.
    pub name: String,
    /// The host that the browser goes to with the answer, with its port where that is no usual one.
    pub site: String,
    /// Who is logged in: a username or an address, where there is one.
    pub person: Option<String>,
    /// What is to be shared.
    pub scopes: Vec<String>,
    /// The session that it is about.
    pub origin: Origin,
}

/// What is held back.
#[derive(Debug)]
pub(super) struct Waiting {
    organization: String,
    question: Question,
    request: AuthorizeRequest,
    grant: Grant,
    participant: Option<Box<Participant>>,
}

/// The questions, by the hash of their ids.
#[derive(Debug)]
pub(super) struct Questions(Mutex<Expiring<[u8; 32], Waiting>>);

impl Default for Questions {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(WAITING_MAX)))
    }
}

impl Provider {
    /// Answers a request: with a code, or with a question to the person first.
    ///
    /// # Errors
    ///
    /// Where `sealed` is not what [`Provider::seal`] gave out, where the admission is for another application, or
    /// where nothing more can be remembered.
    pub fn answer(
        &self,
        config: &Config,
        admission: &Admission,
        sealed: &str,
        origin: Origin,
    ) -> Result<Reply, Refused> {
        let participant = self.participant(config, admission, sealed, &origin).map(Box::new);
        let request = self.unseal(sealed)?;
        let (client, grant) = self.grant(config, admission, &request, origin)?;
        if !self.must_ask(config, &client, &request, &grant) {
            return Ok(Reply::Code { to: self.give(config, request, grant)?, participant });
        }
        let issuer = issuer(config, &request.organization);
        if request.silent {
            let state = request.state.as_deref();
            let to = error_url(&issuer, &request.redirect_uri, state, "consent_required", "consent-required");
            return Ok(Reply::Error(to));
        }
        let profile = &admission.profile;
        let question = Question {
            application: grant.application.clone(),
            client_id: grant.client_id.clone(),
            name: client.name.clone().into_owned(),
            site: site(&request.redirect_uri),
            person: profile.username.clone().or_else(|| profile.email.clone()),
            scopes: grant.scopes.clone(),
            origin: grant.origin.clone(),
        };
        let organization = request.organization.clone();
        let id = random_token().map_err(|error| Refused { code: "no-randomness", detail: error.to_string() })?;
        let now = self.clock.now();
        let expires = now.saturating_add(config.login.pending.into());
        let waiting = Waiting { organization, question, request, grant, participant };
        let mut questions = self.questions.0.lock().unwrap_or_else(PoisonError::into_inner);
        questions
            .insert(key(&id), waiting, expires, now)
            .map_err(|error| Refused { code: "too-many-questions", detail: error.to_string() })?;
        let mut page = Url::parse(&format!("{issuer}/oidc/consent"))
            .map_err(|error| Refused { code: "no-address", detail: error.to_string() })?;
        page.query_pairs_mut().append_pair("id", &id);
        Ok(Reply::Ask(page))
    }

    /// The question of this id, which is not answered yet.
    #[must_use]
    pub fn question(&self, organization: &str, id: &str) -> Option<Question> {
        let questions = self.questions.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = questions.get(&key(id), self.clock.now())?;
        (waiting.organization == organization).then(|| waiting.question.clone())
    }

    /// Takes the person's answer, once. Blocks: it is written down.
    ///
    /// # Errors
    ///
    /// Where there is no such question any more, or where the client was removed or changed meanwhile.
    pub fn consented(&self, config: &Config, organization: &str, id: &str, yes: bool) -> Result<Reply, Refused> {
        let over = |detail: &str| Refused { code: "consent-over", detail: detail.to_owned() };
        let now = self.clock.now();
        let waiting = {
            let mut questions = self.questions.0.lock().unwrap_or_else(PoisonError::into_inner);
            let key = key(id);
            let is_known = questions.get(&key, now).is_some_and(|waiting| waiting.organization == organization);
            let taken = if is_known { questions.take(&key, now) } else { None };
            taken.ok_or_else(|| over("no such question waits"))?
        };
        let Waiting { request, grant, participant, .. } = waiting;
        let client = self.still(config, &request).filter(|client| client.mark == grant.mark);
        let client = client.ok_or_else(|| over("the client was removed or changed meanwhile"))?;
        // Only where it is asked for by the configuration: a client's own wish is asked about each time.
        if let Some(consent) = config.consent.as_ref().filter(|_| client.registration.consent) {
            let scopes = yes.then_some(grant.scopes.as_slice());
            if let Err(error) = self.agreed.answer(&consent.file, &whose(&grant), scopes, now) {
                tracing::error!(%error, "an answer could not be remembered: the person will be asked again");
            }
        }
        if yes {
            return Ok(Reply::Code { to: self.give(config, request, grant)?, participant });
        }
        let issuer = issuer(config, organization);
        let state = request.state.as_deref();
        Ok(Reply::Error(error_url(&issuer, &request.redirect_uri, state, "access_denied", "consent-refused")))
    }

    fn must_ask(&self, config: &Config, client: &Client<'_>, request: &AuthorizeRequest, grant: &Grant) -> bool {
        if request.consent {
            return true;
        }
        let agreed = || {
            let file = &config.consent.as_ref()?.file;
            let covers = self.agreed.covers(file, &whose(grant), &grant.scopes);
            covers.inspect_err(|error| tracing::error!(%error, "who agreed to what is not known: all are asked")).ok()
        };
        client.registration.consent && agreed() != Some(true)
    }

    /// The code is good from now on.
    fn give(&self, config: &Config, request: AuthorizeRequest, grant: Grant) -> Result<Url, Refused> {
        let code = random_token().map_err(|error| Refused { code: "no-randomness", detail: error.to_string() })?;
        self.put_code(&code, grant);
        Ok(with_code(&issuer(config, &request.organization), request, &code))
    }
}

fn whose(grant: &Grant) -> Whose<'_> {
    Whose { organization: &grant.organization, client_id: &grant.client_id, mark: grant.mark, subject: &grant.subject }
}

fn site(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn key(id: &str) -> [u8; 32] {
    sha256(&[b"consent", &[0], id.as_bytes()])
}

/// What a person may be asked to share.
pub const SCOPES: [&str; 4] = claims::SCOPES;
