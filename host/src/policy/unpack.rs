//! From what a pack has of a policy to a policy that is ready.

use std::sync::Arc;

use super::{
    LoadedPolicy, artifact::Form, configurable::Configurable, engine::Engine, error::LoadError, hooks::Hooks,
    instance::Prepared, manifest::Manifest, pack::Packed, settings::Settings,
};

impl LoadedPolicy {
    /// Makes a policy ready that was configured and compiled elsewhere. Its manifest, settings and hooks are held to
    /// each other and to the contract as those of a component are.
    ///
    /// # Safety
    ///
    /// Its native code is of a pack that was authenticated, and made for the limits of `engine`.
    ///
    /// # Errors
    ///
    /// What does not fit.
    #[expect(unsafe_code, reason = "native code is trusted: whoever calls this says where it came from")]
    pub(super) unsafe fn packed(engine: &Engine, packed: &Packed<'_>) -> Result<Arc<Self>, LoadError> {
        let about = packed.about;
        let unlike = |what: &str| LoadError::Packed(format!("{what} not what the pack's statement says"));
        let manifest = Manifest::from_json(packed.manifest)?;
        if manifest.version != about.version {
            return Err(unlike("the manifest's version is"));
        }
        let written = serde_json::from_slice(packed.settings).map_err(|_| unlike("the settings' text is"))?;
        let settings = Settings::new(&manifest, &written, engine.limits().settings_bytes_max)?;
        // The snapshot was taken with these and no others.
        if settings.digest != about.settings || settings.json.as_bytes() != packed.settings {
            return Err(unlike("the settings are"));
        }
        let side = engine.decide(about.form);
        // SAFETY: passed on to the caller.
        let native = unsafe { side.component(packed.code) };
        let native =
            native.map_err(|error| LoadError::Packed(format!("its native code does not run here: {error:#}")))?;
        let wrong_type = |error: wasmtime::Error| LoadError::WrongType {
            interface: "component".to_owned(),
            message: format!("{error:#}"),
        };
        let (prepared, hooks) = match about.form {
            Form::Records => {
                let prepared = side.linker.instantiate_pre(&native).map_err(wrong_type)?;
                let hooks = Hooks::find(&prepared, Form::Records, &manifest.hooks).map_err(wrong_type)?;
                (Prepared::Snapshot(prepared), Arc::new(hooks))
            }
            Form::Json => {
                let component = Box::new(Configurable::new(engine, Form::Json, &manifest.hooks, &native)?);
                let hooks = Arc::clone(&component.hooks);
                (Prepared::Configurable { component, settings: settings.json.clone() }, hooks)
            }
        };
        let loaded = Self::new(engine, (about.form, &manifest), about.named(), &settings, prepared, hooks)?;
        loaded.try_out()?;
        Ok(Arc::new(loaded))
    }
}
