//! The pages of the gateway's own second factor.

use axum::response::Response;
use minijinja::{Value, context};

use super::{Form, Pages};
use crate::{
    http::{gateway::Asked, qr},
    login::{Enrolled, Enrolment, FormError, KnownPasskey, Options},
    secret::Secret,
};

/// What the page of a second factor offers.
pub(in crate::http) struct SecondFactor<'a> {
    /// Is there a factor to prove?
    pub(in crate::http) is_set_up: bool,
    /// What an authenticator app must know, where one may be set up.
    pub(in crate::http) enrolment: Option<&'a Enrolment>,
    /// What the browser is asked.
    pub(in crate::http) passkeys: &'a Options,
    /// Will a passkey alone do?
    pub(in crate::http) is_passkey_wanted: bool,
}

impl Pages {
    /// Asks for the second factor, or says how to set one up.
    pub(in crate::http) fn second_factor(&self, asked: &Asked, form: &Form<'_>, wanted: &SecondFactor<'_>) -> Response {
        let SecondFactor { is_set_up, enrolment, passkeys, is_passkey_wanted } = *wanted;
        let (request, creation) = (passkeys.request.as_deref(), passkeys.creation.as_deref());
        let passkeys = context! { is_set_up, is_passkey_wanted, request, creation };
        let values = context! { ..app(enrolment), ..passkeys };
        self.page(asked, "second_factor.html", context! { ..values, ..self.form(asked, form, "/second-factor") })
    }

    /// Shows recovery codes, and leads on to the login that waits, if one does.
    pub(in crate::http) fn recovery_codes(
        &self,
        asked: &Asked,
        login: Option<&str>,
        application: &str,
        codes: &[Secret<String>],
    ) -> Response {
        let codes: Vec<Value> = codes.iter().map(|code| Value::from(code.expose().as_str())).collect();
        let action = format!("/login/{application}/second-factor");
        self.page(asked, "recovery_codes.html", context! { login, action, codes })
    }

    /// A person's own second factor.
    pub(in crate::http) fn factor(
        &self,
        asked: &Asked,
        enrolled: Option<&Enrolled>,
        enrolment: Option<&Enrolment>,
        options: &Options,
        error: Option<FormError>,
    ) -> Response {
        let is_app_wrong = error == Some(FormError::AppCode);
        let error = error.map(|error| self.form_words(error));
        let recovery_codes = enrolled.map(|enrolled| enrolled.recovery_codes);
        let totp = enrolled.is_some_and(|enrolled| enrolled.totp);
        let named = |known: &KnownPasskey| context! { name => &known.name, id => &known.id };
        let passkeys: Vec<Value> =
            enrolled.map_or(&[][..], |enrolled| enrolled.passkeys.as_slice()).iter().map(named).collect();
        let (request, creation) = (options.request.as_deref(), options.creation.as_deref());
        let values = context! { recovery_codes, totp, passkeys, request, creation, error, is_app_wrong };
        self.page(asked, "factor.html", context! { ..app(enrolment), ..values })
    }
}

/// What an authenticator app must know, as a picture, as a link, and for typing.
fn app(enrolment: Option<&Enrolment>) -> Value {
    let secret = enrolment.map(|enrolment| spaced(enrolment.secret.expose()));
    let uri = enrolment.map(|enrolment| enrolment.uri.expose().as_str());
    let qr = uri.and_then(qr::svg).map(Value::from_safe_string);
    context! { secret, uri, qr }
}

/// A long text in groups of four, for typing.
fn spaced(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
