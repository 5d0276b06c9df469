//! How a component gets from who wrote it to who runs it: signed, by way of a registry.

use clap::Subcommand;

use super::{
    super::{
        downgrade,
        output::{Exit, Failure, Output},
    },
    registry, signing,
};
use crate::policy::Engine;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Let a version of a policy come into force, once, that is lower than one that was.
    AllowDowngrade(downgrade::AllowDowngrade),
    /// Make a key pair for signing components (minisign's format).
    Keygen(signing::Keygen),
    /// Pull a component from an OCI registry, with what vouches for it.
    Pull(registry::Pull),
    /// Push a component to an OCI registry, with what vouches for it.
    Push(registry::Push),
    /// Sign a component: a statement about it, and a signature over the statement.
    Sign(signing::Sign),
    /// Hold a component to its signatures.
    Verify(signing::Verify),
}

pub(super) fn run(engine: &Engine, command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::AllowDowngrade(arguments) => downgrade::allow_downgrade(arguments, output),
        Command::Keygen(arguments) => signing::keygen(arguments, output),
        Command::Pull(arguments) => registry::pull(engine, arguments, output),
        Command::Push(arguments) => registry::push(engine, arguments, output),
        Command::Sign(arguments) => signing::sign(engine, arguments, output),
        Command::Verify(arguments) => signing::verify(engine, arguments, output),
    }
}
