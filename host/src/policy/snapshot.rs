//! `configure`, once, and the component as it left it: every decision starts there, so
//! what a policy parses or compiles from its settings costs a login nothing.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use wasmtime::{
    Store,
    component::{ComponentNamedList, Instance, InstancePre, Lift, WasmList},
};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::{
    artifact::{Component, Form},
    bindings::exports::vestibule::policy::settings,
    cache::CacheKey,
    engine::{Engine, Side},
    error::{LoadError, SettingsProblem},
    hooks::Hooks,
    limits::{CONFIGURE_FUEL_TIMES, Failure, Guest},
};
use crate::decision::DenyCode;

/// The snapshot's accessors write into a page of their own behind each memory.
const WASM_PAGE_BYTES: usize = 1 << 16;

/// A policy reports at most so many problems.
const PROBLEMS_MAX: usize = 100;

/// A problem's texts are cut to so many characters.
const PROBLEM_CHARS_MAX: usize = 500;

/// Configures `component` with `settings` (JSON) and returns the component as it is then.
///
/// # Errors
///
/// The guest's own problems with the settings, all at once, or the step that failed.
pub(crate) fn snapshot(engine: &Engine, component: &Component, settings: &str) -> Result<Vec<u8>, LoadError> {
    let wizer = Wizer::new();
    let (context, instrumented) = instrument(&wizer, component)?;
    let native = instrumented_native(engine, component, || Ok(instrumented))?;
    let configurable = Configurable::new(engine, component, &native)?;
    let (mut store, instance) = configurable.configure(engine, settings, configurable.patience(engine))?;

    let limits = engine.limits();
    store.data_mut().allow_memory(WASM_PAGE_BYTES);
    store.set_hostcall_fuel(limits.memory_bytes_max.saturating_add(WASM_PAGE_BYTES));
    let mut state = State { store, instance, failure: None };
    let snapshot = now(wizer.snapshot_component(&context, &mut state))
        .ok_or_else(|| LoadError::Snapshot("the snapshot waited for something".to_owned()))?;
    match state.failure {
        Some(failure) => Err(LoadError::Snapshot(failure)),
        None => snapshot.map_err(|error| LoadError::Snapshot(format!("{error:#}"))),
    }
}

/// A component whose instances are still to be configured, each on its own. For cases:
/// they have many settings, and a snapshot of each would cost its compilation. And for
/// interpreters.
pub(crate) fn configurable(engine: &Engine, component: &Component) -> Result<Configurable, LoadError> {
    let native = match component.form() {
        Form::Records => instrumented_native(engine, component, || {
            instrument(&Wizer::new(), component).map(|(_, instrumented)| instrumented)
        })?,
        Form::Json => {
            let side = engine.decide(Form::Json);
            let key = component.code_key(b"interpreter", &side.compatibility);
            component.compiled(|| native(engine, side, &key, component.bytes()))?
        }
    };
    Configurable::new(engine, component, &native)
}

/// See [`configurable`].
pub(crate) struct Configurable {
    prepared: InstancePre<Guest>,
    form: Form,
    pub(crate) hooks: Arc<Hooks>,
    configure: settings::GuestIndices,
}

impl Configurable {
    fn new(engine: &Engine, component: &Component, native: &wasmtime::component::Component) -> Result<Self, LoadError> {
        let form = component.form();
        let prepared = side(engine, form).linker.instantiate_pre(native).map_err(|error| wrong_type(&error))?;
        let configure = settings::GuestIndices::new(&prepared).map_err(|error| wrong_type(&error))?;
        let hooks = Hooks::find(&prepared, form, &component.manifest().hooks).map_err(|error| wrong_type(&error))?;
        Ok(Self { prepared, form, hooks: Arc::new(hooks), configure })
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

fn instrument<'a>(wizer: &Wizer, component: &'a Component) -> Result<(ComponentContext<'a>, Vec<u8>), LoadError> {
    wizer.instrument_component(component.bytes()).map_err(|error| LoadError::Snapshot(format!("{error:#}")))
}

fn instrumented_native(
    engine: &Engine,
    component: &Component,
    instrumented: impl FnOnce() -> Result<Vec<u8>, LoadError>,
) -> Result<wasmtime::component::Component, LoadError> {
    let side = engine.configure();
    let key = CacheKey::of(&[b"instrumented", component.digest().as_bytes(), &side.compatibility]);
    component.compiled(|| native(engine, side, &key, &instrumented()?))
}

/// The native code of `wasm`, from the cache where it is there.
pub(crate) fn native(
    engine: &Engine,
    side: &Side,
    key: &CacheKey,
    wasm: &[u8],
) -> Result<wasmtime::component::Component, LoadError> {
    if let Some(component) = cached(engine, side, key) {
        return Ok(component);
    }
    let code = engine.compile(side, wasm)?;
    if let Some(Err(error)) = engine.cache().map(|cache| cache.store(key, &code)) {
        tracing::warn!(%error, "failed to keep native code in the cache");
    }
    #[expect(unsafe_code, reason = "native code is trusted; this gateway just compiled it")]
    // SAFETY: it was compiled for this side, two statements ago.
    let component = unsafe { side.component(&code) };
    component.map_err(|error| LoadError::Compile(format!("{error:#}")))
}

/// The native code under `key`, if the cache has it.
pub(crate) fn cached(engine: &Engine, side: &Side, key: &CacheKey) -> Option<wasmtime::component::Component> {
    let code = engine.cache()?.load(key)?;
    #[expect(unsafe_code, reason = "native code is trusted; the cache gave back what this gateway stored")]
    // SAFETY: the cache authenticated the very bytes that are loaded here: this gateway's
    // compiler made them, and nobody changed them since.
    let component = unsafe { side.component(&code) };
    component.inspect_err(|error| tracing::warn!(%error, "failed to use native code from the cache")).ok()
}

/// What Wizer asks of an instance. It does not expect a failure, so the first one is kept
/// for the caller.
struct State {
    store: Store<Guest>,
    instance: Instance,
    failure: Option<String>,
}

impl State {
    fn call<R>(&mut self, interface: &str, function: &str) -> Option<R>
    where
        (R,): ComponentNamedList + Lift,
        R: Lift + 'static,
    {
        let export = self
            .instance
            .get_export_index(&mut self.store, None, interface)
            .and_then(|interface| self.instance.get_export_index(&mut self.store, Some(&interface), function));
        let result = export
            .ok_or_else(|| wasmtime::format_err!("{interface}#{function} is missing"))
            .and_then(|export| self.instance.get_typed_func::<(), (R,)>(&mut self.store, export))
            .and_then(|function| function.call(&mut self.store, ()));
        match result {
            Ok((value,)) => Some(value),
            Err(error) => {
                self.failure.get_or_insert_with(|| error.root_cause().to_string());
                None
            }
        }
    }
}

impl ComponentInstanceState for State {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        match self.call::<WasmList<u8>>(instance, func) {
            Some(list) => contents(list.as_le_slice(&self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.call(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.call(instance, func).unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        self.call::<f32>(instance, func).unwrap_or_default().to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        self.call::<f64>(instance, func).unwrap_or_default().to_bits()
    }
}

/// The value of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn problem(problem: settings::Problem) -> SettingsProblem {
    let cut = |text: String| text.chars().filter(|c| !c.is_control()).take(PROBLEM_CHARS_MAX).collect();
    SettingsProblem { pointer: cut(problem.path), message: cut(problem.message), expected: None }
}

fn wrong_type(error: &wasmtime::Error) -> LoadError {
    LoadError::WrongType { interface: "component".to_owned(), message: format!("{error:#}") }
}
