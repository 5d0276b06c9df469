//! The pages: plain HTML that works without JavaScript, escaped throughout, under a policy
//! that lets nothing run or load but what has this answer's nonce.
//!
//! Words for reasons come from `pages/words.toml` alone. What a guest, an upstream or a
//! browser said is never shown; of a reason there is the code, which is checked to be one.

mod factor;

use std::collections::{BTreeSet, HashMap};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Deserialize;
use url::Url;

use super::gateway::Asked;
use crate::{
    downstream::{
        oidc::Question,
        saml::{Delivery, Outbound},
    },
    login::{Choice, FormError},
    secret::random_bytes,
};

pub(super) use factor::SecondFactor;

/// The templates, by name; `.html` are escaped.
const TEMPLATES: [(&str, &str); 23] = [
    ("chooser.html", include_str!("pages/chooser.html")),
    ("consent.html", include_str!("pages/consent.html")),
    ("delay.html", include_str!("pages/delay.html")),
    ("delay.js", include_str!("pages/delay.js")),
    ("door.html", include_str!("pages/door.html")),
    ("door_choice.html", include_str!("pages/door_choice.html")),
    ("factor.html", include_str!("pages/factor.html")),
    ("failure.html", include_str!("pages/failure.html")),
    ("frames.html", include_str!("pages/frames.html")),
    ("frames.js", include_str!("pages/frames.js")),
    ("identifier.html", include_str!("pages/identifier.html")),
    ("layout.html", include_str!("pages/layout.html")),
    ("local.html", include_str!("pages/local.html")),
    ("log_out.html", include_str!("pages/log_out.html")),
    ("logged_out.html", include_str!("pages/logged_out.html")),
    ("recovery_codes.html", include_str!("pages/recovery_codes.html")),
    ("saml_post.html", include_str!("pages/saml_post.html")),
    ("saml_post.js", include_str!("pages/saml_post.js")),
    ("second_factor.html", include_str!("pages/second_factor.html")),
    ("sign_in.html", include_str!("pages/sign_in.html")),
    ("telling.html", include_str!("pages/telling.html")),
    ("telling.js", include_str!("pages/telling.js")),
    ("style.css", include_str!("pages/style.css")),
];

/// What asks a browser for passkeys, a file of its own: pages that hold secrets run nothing inline.
pub(super) const PASSKEYS_JS: &str = include_str!("pages/passkeys.js");

/// The pages, ready to be filled in.
pub(super) struct Pages {
    templates: Environment<'static>,
    words: Words,
}

/// What every form has.
pub(super) struct Form<'a> {
    /// The login's id.
    pub(super) login: &'a str,
    /// The application's id.
    pub(super) application: &'a str,
    /// What was wrong before.
    pub(super) error: Option<FormError>,
}

/// `pages/words.toml`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    form: HashMap<String, String>,
    class: HashMap<String, Said>,
    reason: HashMap<String, Said>,
    scope: HashMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    title: String,
    text: String,
}

impl Pages {
    /// The pages that were built in. A test renders each: none fails here.
    pub(super) fn new() -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in TEMPLATES {
            if let Err(error) = templates.add_template(name, source) {
                tracing::error!(name, %error, "a page is broken");
            }
        }
        let words = toml::from_str(include_str!("pages/words.toml")).unwrap_or_else(|error| {
            tracing::error!(%error, "the catalogue of words is broken");
            Words::default()
        });
        Self { templates, words }
    }

    /// Asks for a username or an email address.
    pub(super) fn identifier(&self, asked: &Asked, form: &Form<'_>, identifier: &str) -> Response {
        self.page(asked, "identifier.html", context! { identifier, ..self.form(asked, form, "") })
    }

    /// Asks which upstream.
    pub(super) fn chooser(&self, asked: &Asked, form: &Form<'_>, choices: &[Choice]) -> Response {
        let choices: Vec<Value> =
            choices.iter().map(|choice| context! { id => choice.id.as_str(), name => choice.name.as_str() }).collect();
        self.page(asked, "chooser.html", context! { choices, ..self.form(asked, form, "") })
    }

    /// The gateway's own login form.
    pub(super) fn local(&self, asked: &Asked, form: &Form<'_>, username: &str) -> Response {
        self.page(asked, "local.html", context! { username, ..self.form(asked, form, "/local") })
    }

    /// The form of the emergency door: it goes to its own address, which it does not say.
    pub(super) fn door(&self, asked: &Asked, form: &Form<'_>, username: &str) -> Response {
        self.page(asked, "door.html", context! { username, ..self.form(asked, form, "") })
    }

    /// Asks which application the emergency door is to open, by links to its own address.
    pub(super) fn door_choice(&self, asked: &Asked, applications: &[Choice]) -> Response {
        let application = |it: &Choice| context! { id => it.id.as_str(), name => it.name.as_str() };
        let applications: Vec<Value> = applications.iter().map(application).collect();
        self.page(asked, "door_choice.html", context! { applications })
    }

    /// Leads to the login by a link, at `to` on the application's host.
    pub(super) fn sign_in(&self, asked: &Asked, application: &str, to: &str) -> Response {
        let known = asked.settings.config.applications.get(application);
        let name = known.map_or(application, |it| it.display_name.as_str());
        self.page(asked, "sign_in.html", context! { application => name, to })
    }

    /// Asks whether a relying party may be told who somebody is.
    pub(super) fn consent(&self, asked: &Asked, action: &str, id: &str, question: &Question) -> Response {
        let Question { name, site, person, .. } = question;
        let words = |scope: &String| self.words.scope.get(scope).cloned().unwrap_or_else(|| scope.clone());
        let scopes: Vec<String> = question.scopes.iter().map(words).collect();
        self.page(asked, "consent.html", context! { action, id, name, site, person, scopes })
    }

    /// Says where the browser goes, for a while.
    pub(super) fn delay(&self, asked: &Asked, to: &Url, delay: u32, upstream: &str, application: &str) -> Response {
        self.page(asked, "delay.html", context! { to => to.as_str(), delay, upstream, application })
    }

    /// Asks whether to log out; the answer comes as a form of our own to `/logout`.
    pub(super) fn log_out(&self, asked: &Asked, application: Option<&str>, rd: Option<&Url>) -> Response {
        let known = application.and_then(|id| asked.settings.config.applications.get(id));
        let (id, name) = (known.map(|it| it.id.as_str()), known.map(|it| it.display_name.as_str()));
        let back = known.map(|it| it.url.as_str());
        self.page(asked, "log_out.html", context! { id, application => name, rd => rd.map(Url::as_str), back })
    }

    /// Brings a SAML response to a service provider: by itself, or by its button.
    pub(super) fn saml_post(&self, asked: &Asked, delivery: &Delivery, application: &str) -> Response {
        self.page(asked, "saml_post.html", context! { application, ..message(delivery) })
    }

    /// Says that the person is logged out, which applications did not confirm it, and where to go on.
    pub(super) fn logged_out(&self, asked: &Asked, to: Option<&Url>, untold: &[String]) -> Response {
        let told = |id: &String| {
            let url = asked.settings.config.applications.get(id).map(|application| application.url.as_str());
            context! { name => display_name(asked, id), url }
        };
        let untold: Vec<Value> = untold.iter().map(told).collect();
        self.page(asked, "logged_out.html", context! { to => to.map(Url::as_str), untold })
    }

    /// Asks an application to end its session, on the way of a logout: by itself, by its button, or not at all.
    pub(super) fn telling(&self, asked: &Asked, outbound: &Outbound, stop: &str, application: &str) -> Response {
        let application = display_name(asked, application);
        let values = match outbound {
            Outbound::Form(delivery) => context! { form => true, ..message(delivery) },
            Outbound::Redirect(to) => context! { form => false, to => to.as_str() },
        };
        self.page(asked, "telling.html", context! { application, stop, ..values })
    }

    /// Shows applications' own pages that end their sessions, in frames that nobody sees.
    pub(super) fn frames(&self, asked: &Asked, frames: &[Url]) -> Response {
        let origins: BTreeSet<String> = frames.iter().map(|url| url.origin().ascii_serialization()).collect();
        let frames: Vec<Value> = frames.iter().map(|url| Value::from(url.as_str())).collect();
        self.page_with(asked, "frames.html", context! { frames }, &origins)
    }

    /// Says why not. The status is the caller's.
    pub(super) fn failure(&self, asked: &Asked, class: &str, code: &str, again: Option<&Url>) -> Response {
        let code = if is_code(code) { code } else { class };
        let said = self.words.reason.get(code).or_else(|| self.words.class.get(class));
        let (title, text) = said.map_or(("That did not work", ""), |said| (&said.title, &said.text));
        let again = again.map(Url::as_str);
        self.page(asked, "failure.html", context! { title, text, code, class, again, request => &*asked.id })
    }

    fn form(&self, asked: &Asked, form: &Form<'_>, tail: &str) -> Value {
        let name = asked.settings.config.applications.get(form.application).map(|it| it.display_name.as_str());
        let error = form.error.map(|error| self.form_words(error));
        context! {
            action => format!("/login/{}{tail}", form.application),
            application => name.unwrap_or(form.application),
            error,
            login => form.login,
        }
    }

    fn form_words(&self, error: FormError) -> &str {
        let key = match error {
            FormError::AppCode => "app-code",
            FormError::Code => "code",
            FormError::CodeLocked => "code-locked",
            FormError::CodeUsed => "code-used",
            FormError::Credentials => "credentials",
            FormError::Identifier => "identifier",
            FormError::Passkey => "passkey",
            FormError::PasskeyWanted => "passkey-wanted",
            FormError::Upstream => "upstream",
        };
        self.words.form.get(key).map_or("Please check what you typed.", String::as_str)
    }

    fn page(&self, asked: &Asked, name: &str, values: Value) -> Response {
        self.page_with(asked, name, values, &BTreeSet::new())
    }

    fn page_with(&self, asked: &Asked, name: &str, values: Value, frames: &BTreeSet<String>) -> Response {
        // Without randomness there is no nonce, and the page goes without its style.
        let nonce = random_bytes::<16>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default();
        let host = asked.settings.config.server.public_url.host_str().unwrap_or_default();
        let values = context! { host, nonce => &nonce, ..values };
        let rendered = self.templates.get_template(name).and_then(|template| template.render(values));
        let mut response = match rendered {
            Ok(text) => Response::new(Body::from(text)),
            Err(error) => {
                tracing::error!(name, %error, "a page could not be rendered");
                let mut response = Response::new(Body::from("<!doctype html><title>Error</title><p>Error"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(policy) = HeaderValue::try_from(policy(name, &nonce, asked.settings.is_secure(), frames)) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// What an application is called.
fn display_name<'a>(asked: &'a Asked, id: &'a str) -> &'a str {
    asked.settings.config.applications.get(id).map_or(id, |application| application.display_name.as_str())
}

/// A message's form.
fn message(delivery: &Delivery) -> Value {
    context! {
        to => delivery.to.as_str(),
        parameter => delivery.kind.parameter(),
        message => &delivery.message,
        relay_state => delivery.relay_state.as_deref(),
    }
}

/// Nothing but this page's own style, its script where it has one, and frames of the `frames` origins (CSP 3).
fn policy(page: &str, nonce: &str, secure: bool, frames: &BTreeSet<String>) -> String {
    let own = if nonce.is_empty() { "'none'".to_owned() } else { format!("'nonce-{nonce}'") };
    let script = if matches!(
        page,
        "delay.html" | "factor.html" | "frames.html" | "saml_post.html" | "second_factor.html" | "telling.html"
    ) {
        &*own
    } else {
        "'none'"
    };
    // Browsers hold the redirects that follow a form to `form-action`, too, and those lead
    // to upstreams and applications: so every site, but no `javascript:` and no `data:`.
    let sites = if secure { "https:" } else { "http: https:" };
    let shown: String = frames.iter().map(|origin| format!(" {origin}")).collect();
    let shown = if shown.is_empty() { shown } else { format!(" frame-src{shown};") };
    format!(
        "default-src 'none';{shown} style-src {own}; script-src {script}; form-action 'self' {sites}; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// Kebab-case and short: what may stand on a page as a code.
fn is_code(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_words_for_every_class_and_for_every_form_error() {
        let words = Pages::new().words;
        for class in ["bad-request", "denied", "expired", "not-found", "too-often", "unavailable", "upstream"] {
            assert!(words.class.contains_key(class), "{class}");
        }
        for error in [
            "app-code",
            "code",
            "code-locked",
            "code-used",
            "credentials",
            "identifier",
            "passkey",
            "passkey-wanted",
            "upstream",
        ] {
            assert!(words.form.contains_key(error), "{error}");
        }
        for scope in crate::downstream::oidc::SCOPES {
            assert!(words.scope.contains_key(scope), "{scope}");
        }
        for (code, said) in words.class.iter().chain(&words.reason) {
            assert!(is_code(code) && !said.title.is_empty() && said.text.ends_with('.'), "{code}");
        }
    }

    #[test]
    fn every_template_is_one() {
        let pages = Pages::new();
        for (name, _) in TEMPLATES {
            assert!(pages.templates.get_template(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a48_only_kebab_case_is_a_code() {
        for code in ["domain-not-allowed", "a", "x9"] {
            assert!(is_code(code), "{code}");
        }
        for text in ["", "A", "a b", "<b>", "a_b", "a\u{200b}", &"a".repeat(65)] {
            assert!(!is_code(text), "{text}");
        }
    }
}
