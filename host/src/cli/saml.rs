//! `vestibule saml`

use std::{path::PathBuf, sync::Arc};

use clap::Subcommand;
use serde_json::json;

use super::output::{Exit, Failure, Output};
use crate::{
    clock::SystemClock,
    config,
    downstream::saml::{self, Details},
    keys::KeyRing,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what is copied into a service provider's set-up page: entity id, SSO URL, certificate.
    Show {
        /// The application that is the service provider.
        #[arg(long, value_name = "ID")]
        app: String,
        /// The configuration.
        #[arg(long, value_name = "FILE", default_value = "vestibule.toml")]
        config: PathBuf,
    },
    /// Turn a service provider's metadata into the table that the configuration needs.
    Import {
        /// The application that is the service provider.
        #[arg(long, value_name = "ID")]
        app: String,
        /// The metadata, as the service provider gives it out.
        #[arg(value_name = "FILE")]
        metadata: PathBuf,
    },
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Show { app, config } => {
            let config = config::load(config).map_err(Failure::of_configuration)?;
            let keys =
                KeyRing::open(&config.keys, Arc::new(SystemClock)).map_err(|error| Failure::new(Exit::File, &error))?;
            let details = saml::details(&config, &keys, app)
                .map_err(|_| Failure::text(Exit::Failed, format!("no application `{app}` has `saml`")))?;
            output.result(text(&details), &json!({ "ok": true, "app": app, "saml": details }));
        }
        Command::Import { app, metadata } => {
            let xml = std::fs::read_to_string(metadata).map_err(|error| {
                Failure::text(Exit::File, format!("failed to read {}: {error}", metadata.display()))
            })?;
            let toml = saml::import(app, &xml).map_err(|error| Failure::new(Exit::Failed, &error))?;
            output.result(toml.trim_end(), &json!({ "ok": true, "toml": toml }));
        }
    }
    Ok(Exit::Done)
}

/// By the names that set-up pages have.
fn text(details: &Details) -> String {
    let mut text = format!("IDP Entity ID:  {}\nIDP SSO URL:    {}\n", details.entity_id, details.sso_url);
    if let Some(logout_url) = &details.logout_url {
        text.push_str(&format!("IDP logout URL: {logout_url}\n"));
    }
    text.push_str(&format!("IDP metadata:   {}\n", details.metadata_url));
    for (index, (certificate, fingerprint)) in details.certificates.iter().zip(&details.fingerprints).enumerate() {
        let which = if index == 0 { "in use" } else { "published, not in use" };
        text.push_str(&format!(
            "\nIDP public X.509 certificate ({which}), SHA-256 {fingerprint}\n\n{}\n",
            certificate.trim_end()
        ));
    }
    if details.certificates.is_empty() {
        text.push_str("\nThere is no certificate: `vestibule keys certificate add` makes one.");
    }
    text.trim_end().to_owned()
}
