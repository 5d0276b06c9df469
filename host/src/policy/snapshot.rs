//! `configure`, once, and the component as it left it: every decision starts there, so
//! what a policy parses or compiles from its settings costs a login nothing.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use wasmtime::{
    Store,
    component::{ComponentNamedList, Instance, Lift, WasmList},
};
use wasmtime_wizer::{ComponentContext, ComponentInstanceState, Wizer};

use super::{
    artifact::{Component, Form},
    cache::CacheKey,
    configurable::Configurable,
    engine::{Engine, Side},
    error::LoadError,
    limits::{Guest, WASM_PAGE_BYTES},
};

/// Configures `component` with `settings` (JSON) and returns the component as it is then.
///
/// # Errors
///
/// The guest's own problems with the settings, all at once, or the step that failed.
pub(crate) fn snapshot(engine: &Engine, component: &Component, settings: &str) -> Result<Vec<u8>, LoadError> {
    let wizer = Wizer::new();
    let (context, instrumented) = instrument(&wizer, component)?;
    let native = instrumented_native(engine, component, || Ok(instrumented))?;
    let configurable = Configurable::new(engine, component.form(), &component.manifest().hooks, &native)?;
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
    Configurable::new(engine, component.form(), &component.manifest().hooks, &native)
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
