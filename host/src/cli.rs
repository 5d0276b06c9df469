//! The `vestibule` command: arguments in, exit code out. The only module that prints, and
//! beside `config` the only one that reads the environment.

mod accounts;
mod audit;
mod check;
mod downgrade;
mod factors;
mod generation;
mod keys;
mod output;
mod saml;
mod serve;
mod snippet;
mod tokens;
mod trust;

// What an edge node does not do.
#[cfg(feature = "compiler")]
mod compile;
#[cfg(feature = "compiler")]
mod demo;
#[cfg(feature = "compiler")]
mod policy;
#[cfg(not(feature = "compiler"))]
#[path = "cli/policy_at_the_edge.rs"]
mod policy;
#[cfg(feature = "compiler")]
mod receipt;
#[cfg(feature = "compiler")]
mod replay;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::{Exit, Failure, Output};

const EXIT_CODES: &str = "\
Exit codes:
  0   done; every check and test passed
  1   a check, a test or a verification failed
  2   the command line is wrong
  3   something would change (`replay --fail-on-change`)
  64  the configuration is refused
  69  something that is needed is not there (a compiler, a port)
  70  a fault of Vestibule itself
  74  a file cannot be read or written

Documentation: docs/ in the source tree.";

#[cfg(feature = "compiler")]
const VERSION: &str = env!("CARGO_PKG_VERSION");
#[cfg(not(feature = "compiler"))]
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (edge: it runs packs, and compiles nothing)");

/// An SSO gateway whose every login decision is made by a sandboxed WebAssembly policy.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version = VERSION, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    /// Print JSON on standard output instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Local accounts.
    #[command(subcommand)]
    Accounts(accounts::Command),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Check the configuration and load every policy that it names, without serving.
    Check(check::Arguments),
    /// Compile one component for the gateway that started this: from standard input to standard output.
    #[cfg(feature = "compiler")]
    #[command(hide = true)]
    CompileWorker,
    /// Run the gateway with a demo identity provider and a demo application, on loopback.
    #[cfg(feature = "compiler")]
    Demo(demo::Arguments),
    /// Second factors: who has one, and away with one whose subject has lost it.
    #[command(subcommand)]
    Factors(factors::Command),
    /// The generations of the gateway that runs: which there are, back to an older one, forward again. Packs: policies
    /// that are compiled in one place and run in another.
    #[command(subcommand)]
    Generation(generation::Command),
    /// The key ring: make one, rotate its keys.
    #[command(subcommand)]
    Keys(keys::Command),
    #[cfg_attr(feature = "compiler", doc = "Build, inspect and test policies.")]
    #[cfg_attr(not(feature = "compiler"), doc = "An operator's word about the policies of a pack.")]
    #[command(subcommand)]
    Policy(policy::Command),
    /// Receipts: a recorded decision, signed, that anybody who has the components can make again.
    #[cfg(feature = "compiler")]
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// Ask a candidate what was asked in the recorded logins, and report whom it would treat otherwise.
    #[cfg(feature = "compiler")]
    Replay(replay::Arguments),
    /// SAML: what a service provider must know of the gateway, and the other way round.
    #[command(subcommand)]
    Saml(saml::Command),
    /// Run the gateway.
    Serve(serve::Arguments),
    /// What an application's own set-up needs, filled in.
    #[command(subcommand)]
    Snippet(snippet::Command),
    /// Administrators' tokens, for registering relying parties.
    #[command(subcommand)]
    Tokens(tokens::Command),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    let output = Output::new(cli.json);
    let exit = match cli.command {
        Command::Accounts(command) => accounts::run(&command, &output),
        Command::Audit(command) => audit::run(&command, &output),
        Command::Check(arguments) => check::run(&arguments, &output),
        #[cfg(feature = "compiler")]
        Command::CompileWorker => return compile::run(),
        #[cfg(feature = "compiler")]
        Command::Demo(arguments) => demo::run(&arguments, &output),
        Command::Factors(command) => factors::run(&command, &output),
        Command::Generation(command) => generation::run(&command, &output),
        Command::Keys(command) => keys::run(&command, &output),
        Command::Policy(command) => policy::run(&command, &output),
        #[cfg(feature = "compiler")]
        Command::Receipt(command) => receipt::run(&command, &output),
        #[cfg(feature = "compiler")]
        Command::Replay(arguments) => replay::run(&arguments, &output),
        Command::Saml(command) => saml::run(&command, &output),
        Command::Serve(arguments) => serve::run(&arguments, &output),
        Command::Snippet(command) => snippet::run(&command, &output),
        Command::Tokens(command) => tokens::run(&command, &output),
    };
    exit.unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit
    })
    .into()
}

/// Help, the version, or what is wrong with the command line.
fn misread(error: &clap::Error) -> ExitCode {
    // What could not be read cannot say whether JSON is wanted: it is looked for by hand.
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if wants_json && error.use_stderr() {
        let message = error.to_string();
        let message = message.trim().trim_start_matches("error: ").lines().next().unwrap_or_default();
        Output::new(true).failure(&Failure::text(Exit::CommandLine, message));
        return Exit::CommandLine.into();
    }
    // Where even that cannot be printed, the exit code says it.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_has_help() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "`{path}` has no help");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "`{path}`: `{}` has no help", argument.get_id());
            }
            for inner in command.get_subcommands() {
                check(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        check(&Cli::command(), "vestibule");
    }

    #[test]
    fn takes_json_before_and_after_the_command() {
        for arguments in [["vestibule", "--json", "check"], ["vestibule", "check", "--json"]] {
            assert!(Cli::try_parse_from(arguments).unwrap().json, "{arguments:?}");
        }
        assert_eq!(Cli::try_parse_from(["vestibule", "chek"]).unwrap_err().exit_code(), 2);
    }
}
