//! `vestibule policy` of a gateway without a compiler.

use clap::Subcommand;

use super::{
    downgrade,
    output::{Exit, Failure, Output},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Let a version of the pack come into force, once, that is lower than one that was.
    AllowDowngrade(downgrade::AllowDowngrade),
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    match command {
        Command::AllowDowngrade(arguments) => downgrade::allow_downgrade(arguments, output),
    }
}
