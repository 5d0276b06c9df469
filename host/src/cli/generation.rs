//! `vestibule generation`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    output::{Exit, Failure, Output},
    serve,
};
use crate::{
    config,
    control::{self, ControlError},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The generations that the gateway keeps: which one is in force, how each does, what was set aside and why.
    List(Place),
    /// Put an older generation in force again, until the files change or `promote`.
    Rollback {
        /// The generation's number [default: the one before the one in force].
        #[arg(value_name = "NUMBER")]
        generation: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Put in force what the files say, also where that was rolled back.
    Promote(Place),
}

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Place {
    /// The configuration file of the gateway that runs, for its `control.socket`.
    #[arg(long, default_value = "vestibule.toml", value_name = "FILE")]
    config: PathBuf,
    /// Its socket, in place of the configuration's.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

pub(super) fn run(command: &Command, output: &Output) -> Result<Exit, Failure> {
    let (place, wanted) = match command {
        Command::List(place) => (place, control::Command::List {}),
        Command::Rollback { generation, place } => (place, control::Command::Rollback { generation: *generation }),
        Command::Promote(place) => (place, control::Command::Promote {}),
    };
    let socket = socket(place)?;
    if matches!(wanted, control::Command::Promote {}) {
        output.progress("the gateway reads its files");
    }
    let answer = serve::runtime()?.block_on(control::ask(&socket, wanted)).map_err(|error| failure(&error))?;
    if !answer.ok && answer.result.get("error").is_some() {
        return Err(Failure::text(Exit::Failed, answer.text));
    }
    output.result(&answer.text, &json!({ "ok": answer.ok, "result": answer.result }));
    Ok(if answer.ok { Exit::Done } else { Exit::Failed })
}

fn socket(place: &Place) -> Result<PathBuf, Failure> {
    if let Some(socket) = &place.socket {
        return Ok(socket.clone());
    }
    // What else is wrong with the file is the gateway's matter: it has refused it, and `list` tells why.
    if let Some(control) = config::control_of(&place.config) {
        return Ok(control.socket);
    }
    config::load(&place.config).map_err(Failure::of_configuration)?;
    let message =
        format!("{} has no `[control]` with `socket`: the gateway listens to no commands", place.config.display());
    Err(Failure::text(Exit::Configuration, message))
}

fn failure(error: &ControlError) -> Failure {
    Failure::new(Exit::Unavailable, error)
}
