//! `vestibule snippet`: what another program's own set-up needs, filled in.

mod jira;
mod proxy;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output::{Exit, Failure, Output};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Caddy's Caddyfile.
    Caddy(ForProxy),
    /// Envoy's configuration.
    Envoy(ForProxy),
    /// HAProxy's configuration, and the script that asks.
    Haproxy(ForProxy),
    /// The single sign-on that Jira Data Center has built in: properties, and the REST call.
    JiraDc {
        /// The client's id.
        #[arg(long, value_name = "ID")]
        client: String,
        /// Its organization, where several have a client of this id.
        #[arg(long, value_name = "ID")]
        organization: Option<String>,
        /// The configuration.
        #[arg(long, value_name = "FILE", default_value = "vestibule.toml")]
        config: PathBuf,
    },
    /// nginx's server block.
    Nginx(ForProxy),
    /// Traefik's dynamic configuration.
    Traefik(ForProxy),
}

/// The application whose proxy is set up.
#[derive(Debug, Args)]
pub(super) struct ForProxy {
    /// The application's id.
    #[arg(long = "app", value_name = "ID")]
    application: String,
    /// Where the application itself listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3000")]
    backend: String,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "vestibule.toml")]
    config: PathBuf,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::Caddy(asked) => proxy::run("Caddy", asked, output),
        Command::Envoy(asked) => proxy::run("Envoy", asked, output),
        Command::Haproxy(asked) => proxy::run("HAProxy", asked, output),
        Command::JiraDc { client, organization, config } => jira::run(client, organization.as_deref(), config, output),
        Command::Nginx(asked) => proxy::run("nginx", asked, output),
        Command::Traefik(asked) => proxy::run("Traefik", asked, output),
    }
}
