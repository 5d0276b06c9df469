//! What a step of the login comes to: data for `http`, which alone makes responses.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::Demand;
use crate::{
    decision::Admission,
    factor::{Enrolled, Options, TotpSecret},
    secret::Secret,
    session::{Origin, Session, SetCookie},
};

/// A step and the cookies that go with it, whatever it is.
#[derive(Debug)]
pub struct Answer {
    /// What to do.
    pub step: Step,
    /// To be appended as `Set-Cookie`, each one.
    pub cookies: Vec<SetCookie>,
}

/// What to do. `login` in a page's case goes into its form as a hidden field.
#[derive(Debug)]
pub enum Step {
    /// A request of a relying party or a service provider is answered with a yes.
    Admitted {
        /// The proof.
        admission: Box<Admission>,
        /// The sealed request, as it came in.
        request: String,
        /// The single sign-on session: its id is the `sid` that the application gets.
        origin: Box<Origin>,
    },
    /// A page that asks for a username or an email address.
    AskIdentifier {
        /// The login's id.
        login: String,
        /// The application's id, for the form's address.
        application: String,
        /// To be filled in already.
        identifier: String,
        /// What was wrong with what was typed before.
        error: Option<FormError>,
    },
    /// A page with the upstreams to choose from.
    Choose {
        /// The login's id.
        login: String,
        /// The application's id, for the form's address.
        application: String,
        /// In display order.
        choices: Vec<Choice>,
        /// An upstream could not be reached a moment ago.
        error: Option<FormError>,
    },
    /// A page with the applications that the emergency door opens, as links.
    DoorChoice {
        /// By id.
        applications: Vec<Choice>,
    },
    /// The form of the emergency door.
    DoorForm {
        /// The login's id.
        login: String,
        /// The application's id.
        application: String,
        /// To be filled in already.
        username: String,
        /// What was wrong before.
        error: Option<FormError>,
    },
    /// Go to an upstream: at once (303) where `delay` is 0, through a page otherwise.
    Leave {
        /// The authorization request.
        to: Url,
        /// In seconds.
        delay: u32,
        /// The upstream's display name.
        upstream: String,
        /// The application's display name.
        application_name: String,
    },
    /// The gateway's own login form.
    LocalForm {
        /// The login's id.
        login: String,
        /// The application's id, for the form's address.
        application: String,
        /// To be filled in already.
        username: String,
        /// What was wrong before.
        error: Option<FormError>,
    },
    /// The person is logged out.
    LoggedOut {
        /// Where they go on; none is a page that says so.
        to: Option<Url>,
        /// The applications that did not confirm it: their sessions may live on.
        untold: Vec<String>,
    },
    /// A person's own second factor.
    Factor {
        /// The factor; none where there is none.
        enrolled: Option<Box<Enrolled>>,
        /// What an authenticator app must know, where one may be added.
        enrolment: Option<Enrolment>,
        /// What the browser is asked where there are passkeys, or where one is added.
        passkeys: Options,
        /// What was wrong before.
        error: Option<FormError>,
    },
    /// Recovery codes, this once.
    RecoveryCodes {
        /// The login's id, where one goes on afterwards.
        login: Option<String>,
        /// The application's id, for the form's address.
        application: String,
        /// The codes; empty where they were shown before.
        codes: Vec<Secret<String>>,
    },
    /// Go there (303), on our own host or an application's. Every such address was checked.
    Redirect(Url),
    /// No.
    Refused(Refusal),
    /// A page that asks for the second factor.
    SecondFactor {
        /// The login's id.
        login: String,
        /// The application's id, for the form's address.
        application: String,
        /// Is there a factor to prove? Otherwise one is being set up.
        is_set_up: bool,
        /// What an authenticator app must know, where one may be set up.
        enrolment: Option<Enrolment>,
        /// What the browser is asked where a passkey will do, and where one may be set up.
        passkeys: Options,
        /// Will a passkey alone do?
        is_passkey_wanted: bool,
        /// What was wrong before.
        error: Option<FormError>,
    },
}

/// What an authenticator app must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The secret, as a person types it.
    pub secret: Secret<String>,
    /// All of it, as the app reads it from a picture.
    pub uri: Secret<String>,
}

impl Enrolment {
    /// The `otpauth` address that every app knows (Google Authenticator, "Key Uri Format"). SHA-1, six
    /// digits and 30 s are what it means without further parameters.
    pub(super) fn new(name: &str, account: &str, secret: &TotpSecret) -> Self {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (name, account, secret) = (encoded(name), encoded(account), secret.text());
        let uri = format!("otpauth://totp/{name}:{account}?secret={}&issuer={name}", secret.expose());
        Self { secret, uri: Secret::new(uri) }
    }
}

/// One upstream on the chooser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The id, to be posted back as `upstream`.
    pub id: String,
    /// What the button says.
    pub name: String,
}

/// What was wrong with a form. `http` has the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// The identifier is empty, too long or has a control character.
    Identifier,
    /// The username or the password is wrong; it is never said which.
    Credentials,
    /// The code of an authenticator app that is being added is wrong.
    AppCode,
    /// The code of the second factor is wrong.
    Code,
    /// The code of the second factor was right, and was used before.
    CodeUsed,
    /// Too many codes of the second factor were wrong.
    CodeLocked,
    /// The passkey was not taken.
    Passkey,
    /// A code alone will not do here.
    PasskeyWanted,
    /// The upstream to which the person was sent could not be reached.
    Upstream,
}

/// What kind of no. `http/error.rs` picks the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request makes no sense (400).
    BadRequest,
    /// Decided, and the answer is no (403).
    Denied,
    /// This login is over, was never begun in this browser, or was used (400): begin anew.
    Expired,
    /// There is no such application or upstream (404).
    NotFound,
    /// Too often (429).
    TooOften,
    /// The gateway cannot, now (503).
    Unavailable,
    /// The upstream failed, or said what cannot be believed (502).
    Upstream,
}

/// A no, with what a page may show. Why in detail is in the audit and in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub class: Class,
    /// A stable name in kebab-case: ours, an upstream error's, or a policy's reason. A
    /// policy's is checked to be kebab-case and short.
    pub code: String,
    /// The request's id.
    pub request: String,
    /// The login's id, where there is one.
    pub login: Option<String>,
    /// The application's id, where it is a configured one.
    pub application: Option<String>,
    /// Where to begin anew, where that makes sense.
    pub again: Option<Url>,
    /// The sealed request, where a relying party or a service provider asked: it gets an error
    /// response.
    pub request_of: Option<String>,
}

/// The answer to one request behind a proxy.
#[derive(Debug)]
pub enum Check {
    /// Pass, without any identity: a policy left this login to the application.
    Anonymous,
    /// Pass, as this session.
    Live {
        /// The session.
        session: Arc<Session>,
        /// The re-issued cookie, now and then.
        cookies: Vec<SetCookie>,
    },
    /// There is no live session: begin a login.
    NoSession {
        /// Clears what was no session.
        cookies: Vec<SetCookie>,
    },
    /// Not without more: begin a login with this demand.
    Reauthenticate(Demand),
    /// No.
    Refused(Refusal),
}
