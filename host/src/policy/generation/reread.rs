//! A configuration that was read anew: what is wrong with it, and what of it waits for the next start.

use std::fmt;

use super::PolicyProblem;
use crate::config::{self, Config};

pub(super) fn config_problems(diagnostics: &config::Diagnostics) -> Vec<PolicyProblem> {
    diagnostics
        .problems()
        .iter()
        .filter(|problem| problem.severity == config::Severity::Error)
        .map(|problem| PolicyProblem {
            policy: None,
            file: Some(problem.file.clone()),
            line: problem.line,
            column: problem.column,
            key: (!problem.key.is_empty()).then(|| problem.key.clone()),
            message: problem.message.clone(),
            found: problem.found.clone(),
            expected: problem.expected.clone(),
            hint: problem.hint.clone(),
        })
        .collect()
}

pub(super) fn config_note(warning: &config::Diagnostic) -> String {
    if warning.key.is_empty() { warning.message.clone() } else { format!("{}: {}", warning.key, warning.message) }
}

/// Sockets, keys, the audit and the sandbox's limits are set up once. A change of them is
/// noted, and what is in force goes on being what the configuration says.
pub(super) fn keep_what_needs_a_restart(config: &mut Config, before: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |key: &str| notes.push(format!("`{key}` changed: it takes effect at the next start"));
    if config.server.listen != before.server.listen {
        note("server.listen");
        config.server.listen = before.server.listen;
    }
    if differs(&config.keys, &before.keys) {
        note("keys");
        config.keys = before.keys.clone();
    }
    if config.session.state_file != before.session.state_file {
        note("session.state-file");
        config.session.state_file.clone_from(&before.session.state_file);
    }
    if differs(&config.audit, &before.audit) {
        note("audit");
        config.audit = before.audit.clone();
    }
    if differs(&config.control, &before.control) {
        note("control");
        config.control.clone_from(&before.control);
    }
    if config.emergency != before.emergency {
        note("emergency");
        config.emergency.clone_from(&before.emergency);
    }
    if differs(&config.recording, &before.recording) {
        note("recording");
        config.recording.clone_from(&before.recording);
    }
    if differs(&config.fetch, &before.fetch) {
        note("fetch");
        config.fetch = before.fetch.clone();
    }
    if config.server.header_bytes_max != before.server.header_bytes_max {
        note("server.header-bytes-max");
        config.server.header_bytes_max = before.server.header_bytes_max;
    }
    let limits = |login: &config::LoginLimits| (login.attempts_per_minute, login.passwords_per_minute);
    if limits(&config.login) != limits(&before.login) {
        note("login.attempts-per-minute` or `login.passwords-per-minute");
        config.login.attempts_per_minute = before.login.attempts_per_minute;
        config.login.passwords_per_minute = before.login.passwords_per_minute;
    }
    if differs(&config.log, &before.log) {
        note("log");
        config.log = before.log.clone();
    }
    if differs(&config.policies.limits, &before.policies.limits) {
        note("policies.limits");
        config.policies.limits = before.policies.limits.clone();
    }
    if config.policies.cache != before.policies.cache {
        note("policies.cache");
        config.policies.cache.clone_from(&before.policies.cache);
    }
    notes
}

/// The sections that are compared hold no secrets, so that their `Debug` is all of them.
fn differs<T: fmt::Debug>(one: &T, other: &T) -> bool {
    format!("{one:?}") != format!("{other:?}")
}
