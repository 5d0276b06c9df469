//! What the emergency door stands on, made once at the start: nothing of it is swapped while the gateway runs.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use super::super::limits::{Cells, Rate, network};
use crate::{
    config::{Accounts, Config, Emergency},
    decision::{Hook, PolicyRef},
    policy::{Engine, Generation, PolicyProblem},
    session::Expiring,
    upstream::{LocalAccounts, UpstreamError},
};

/// So many addresses are remembered that tried; who tried longest ago is forgotten first.
const ADDRESSES_MAX: usize = 100_000;

/// The emergency door.
pub struct Door {
    generation: Arc<Generation>,
    config: Emergency,
    accounts: Accounts,
    rate: Rate,
    cells: Cells,
    /// Tries without a yes, by address.
    tries: Mutex<Expiring<Option<u128>, u32>>,
}

/// Why there is no door. Each is found before anybody needs it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DoorError {
    /// The accounts file.
    #[error("failed to read the local accounts that the emergency door takes")]
    Accounts(#[from] UpstreamError),
    /// There is nobody to let in.
    #[error("{0} has no account that can be used, and the emergency door takes no others")]
    NoAccount(PathBuf),
    /// The pinned policy says nothing about who may come in.
    #[error("{0} has no hook `admit`: it would let nobody in by the emergency door")]
    NoAdmit(PathBuf),
    /// The pinned policy cannot be loaded.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Policy(Vec<PolicyProblem>),
}

/// An address that may not try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Barred {
    /// It tried too often without a yes.
    LockedOut,
    /// It tries too fast.
    TooFast,
}

impl Door {
    /// Opens the door of `config`: none where there is none. Reads the accounts and the pinned policy, which `engine`
    /// runs; it blocks, for up to the compile timeout.
    ///
    /// # Errors
    ///
    /// Where the door would let nobody in.
    pub fn open(config: &Config, engine: &Engine) -> Result<Option<Self>, DoorError> {
        let (Some(emergency), Some(pinned), Some(accounts)) =
            (&config.emergency, config.at_the_emergency_door(), &config.accounts)
        else {
            return Ok(None);
        };
        if LocalAccounts::read(&accounts.file)?.usable() == 0 {
            return Err(DoorError::NoAccount(accounts.file.clone()));
        }
        let generation = Generation::beside(pinned, engine).map_err(DoorError::Policy)?;
        if !generation.has_in_every_chain(Hook::Admit) {
            return Err(DoorError::NoAdmit(emergency.policy.component.clone()));
        }
        Ok(Some(Self {
            generation,
            rate: Rate::new(emergency.passwords_per_minute),
            config: emergency.clone(),
            accounts: accounts.clone(),
            cells: Cells::default(),
            tries: Mutex::new(Expiring::new(ADDRESSES_MAX)),
        }))
    }

    /// The pinned policy, by its one name for each application that the door opens.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyRef> {
        self.generation.policies()
    }

    /// What decides here.
    pub(in crate::login) const fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// `[emergency]`, as it was at the start.
    pub(super) const fn config(&self) -> &Emergency {
        &self.config
    }

    /// `[accounts]`, as it was at the start; the file is read each time.
    pub(super) const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Does the door open this application? One that was configured since the start is not opened.
    pub(in crate::login) fn opens(&self, application: &str) -> bool {
        self.generation.config().applications.contains_key(application)
    }

    /// Counts a try, before anything is known of it: who tries is counted, and never for whom.
    pub(super) fn try_from(&self, address: Option<IpAddr>, now: u64) -> Result<(), Barred> {
        let from = network(address);
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let before = tries.get(&from, now).copied().unwrap_or_default();
        if before >= self.config.lockout_after {
            return Err(Barred::LockedOut);
        }
        if !self.rate.allows(self.cells.of(from)) {
            return Err(Barred::TooFast);
        }
        let expires = now.saturating_add(self.config.lockout.into());
        tries.insert_or_displace(from, before.saturating_add(1), expires, now);
        Ok(())
    }

    /// The try ended in a yes: those before it count no more.
    pub(super) fn forgive(&self, address: Option<IpAddr>, now: u64) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).take(&network(address), now);
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("generation", &self.generation.digest()).finish_non_exhaustive()
    }
}
