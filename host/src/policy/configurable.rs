//! `configure`, as it is called on an instance.

use std::{collections::BTreeSet, sync::Arc};

use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

use super::{
    artifact::Form,
    bindings::exports::vestibule::policy::settings,
    engine::{Engine, Side},
    error::{LoadError, SettingsProblem},
    hooks::Hooks,
    limits::{CONFIGURE_FUEL_TIMES, Failure, Guest},
};
use crate::decision::{DenyCode, Hook};

/// A policy reports at most so many problems.
const PROBLEMS_MAX: usize = 100;

/// A problem's texts are cut to so many characters.
const PROBLEM_CHARS_MAX: usize = 500;

/// A component whose instances are configured, each on its own: for cases, which have many settings, so that a snapshot
/// of each would cost its compilation; and for interpreters.
pub(crate) struct Configurable {
    prepared: InstancePre<Guest>,
    form: Form,
    pub(crate) hooks: Arc<Hooks>,
    configure: settings::GuestIndices,
}

impl Configurable {
    /// Of the native code of a component that says of itself that it has these hooks.
    pub(crate) fn new(
        engine: &Engine,
        form: Form,
        hooks: &BTreeSet<Hook>,
        native: &wasmtime::component::Component,
    ) -> Result<Self, LoadError> {
        let prepared = side(engine, form).linker.instantiate_pre(native).map_err(|error| wrong_type(&error))?;
        let configure = settings::GuestIndices::new(&prepared).map_err(|error| wrong_type(&error))?;
        let hooks = Hooks::find(&prepared, form, hooks).map_err(|error| wrong_type(&error))?;
        Ok(Self { prepared, form, hooks: Arc::new(hooks), configure })
    }

    /// Its native code.
    pub(crate) fn native(&self) -> &wasmtime::component::Component {
        self.prepared.component()
    }

    /// How long `configure` may take where it counts, in epochs: an interpreter's is a part of
    /// each login.
    pub(crate) fn patience(&self, engine: &Engine) -> u64 {
        match self.form {
            Form::Records => engine.ticks(engine.limits().compile_timeout),
            Form::Json => engine.ticks_per_deadline(Form::Json),
        }
    }

    /// An instance that took `settings` (JSON) within `patience` epochs.
    ///
    /// # Errors
    ///
    /// The guest's own problems with the settings, all at once, or the step that failed.
    pub(crate) fn configure(
        &self,
        engine: &Engine,
        settings: &str,
        patience: u64,
    ) -> Result<(Store<Guest>, Instance), Unconfigured> {
        let limits = engine.limits_of(self.form);
        let mut store = Store::new(&side(engine, self.form).engine, Guest::new(limits));
        store.limiter(|guest| guest);
        store.set_epoch_deadline(patience);
        store.set_hostcall_fuel(limits.output_bytes_max);
        let failed = |error: wasmtime::Error| Unconfigured::Call(Failure::of_call(&error));
        let fuel = match self.form {
            Form::Records => limits.fuel.saturating_mul(CONFIGURE_FUEL_TIMES),
            Form::Json => limits.fuel,
        };
        store.set_fuel(fuel).map_err(failed)?;
        let instance = self
            .prepared
            .instantiate(&mut store)
            .map_err(|error| Unconfigured::Instance(Failure::of_instance(&error)))?;
        self.hooks.check(&mut store, &instance).map_err(Unconfigured::Refused)?;
        let configure = self.configure.load(&mut store, &instance).map_err(|error| {
            let (interface, message) = ("settings".to_owned(), format!("{error:#}"));
            Unconfigured::Refused(LoadError::WrongType { interface, message })
        })?;
        match configure.call_configure(&mut store, settings) {
            Ok(Ok(())) => Ok((store, instance)),
            Ok(Err(problems)) => {
                let problems = problems.into_iter().take(PROBLEMS_MAX).map(problem).collect();
                Err(Unconfigured::Refused(LoadError::Settings(problems)))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Why there is no configured instance.
pub(crate) enum Unconfigured {
    /// None could be made.
    Instance(Failure),
    /// `configure` did not come to an end.
    Call(Failure),
    /// The component is none of ours, or does not take its settings.
    Refused(LoadError),
}

impl From<Unconfigured> for LoadError {
    fn from(unconfigured: Unconfigured) -> Self {
        match unconfigured {
            Unconfigured::Instance(failure) => Self::Limits(failure.detail),
            Unconfigured::Call(failure) => Self::Configure { code: failure.code, message: failure.detail },
            Unconfigured::Refused(error) => error,
        }
    }
}

impl From<Unconfigured> for Failure {
    fn from(unconfigured: Unconfigured) -> Self {
        match unconfigured {
            Unconfigured::Instance(failure) | Unconfigured::Call(failure) => failure,
            Unconfigured::Refused(error) => Self { code: DenyCode::Sandbox, detail: error.to_string() },
        }
    }
}

/// Where components of this form are configured.
fn side(engine: &Engine, form: Form) -> &Side {
    match form {
        Form::Records => engine.configure(),
        Form::Json => engine.decide(Form::Json),
    }
}

fn problem(problem: settings::Problem) -> SettingsProblem {
    let cut = |text: String| text.chars().filter(|c| !c.is_control()).take(PROBLEM_CHARS_MAX).collect();
    SettingsProblem { pointer: cut(problem.path), message: cut(problem.message), expected: None }
}

fn wrong_type(error: &wasmtime::Error) -> LoadError {
    LoadError::WrongType { interface: "component".to_owned(), message: format!("{error:#}") }
}
