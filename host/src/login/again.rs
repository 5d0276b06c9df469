//! A decision that was recorded, asked again: of a candidate, or of the very policies that made it. Nothing
//! here can admit anybody: an identity out of a recording is no verified one.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    directory::Directories,
    judge::{Ground, Inquiry, Judged, Live, judge},
    route::within_contract,
};
use crate::{
    decision::{
        Account, Answered, Asked, Attempt, Bounds, Conclusion, Context, Denial, DenyCode, Direction, Found, Hook,
        Profile, Rules,
    },
    identity::Identity,
    policy::{Chain, Generation, Run},
};

/// What a decision comes to the second time.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// Where to, where the way was asked in the same login.
    pub direction: Option<Result<Direction, Denial>>,
    /// What came of it.
    pub conclusion: Conclusion,
    /// What each policy answered.
    pub answers: Vec<Answered>,
    /// Was an account looked for that nobody looked for the first time?
    pub looked_up: bool,
}

/// The accounts' directories, for [`Candidate`]; read when they are first needed.
#[derive(Clone, Default)]
struct Accounts(Arc<Directories>);

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// Asks a generation that is not in force.
#[derive(Clone, Debug)]
pub struct Candidate {
    generation: Arc<Generation>,
    accounts: Accounts,
    chain: Which,
}

/// Which of an application's chains is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// The one that decides.
    Own,
    /// The one in shadow.
    Shadow,
}

impl Candidate {
    /// Asks `generation`, whose configuration says what holds.
    #[must_use]
    pub fn new(generation: Arc<Generation>) -> Self {
        Self { generation, accounts: Accounts::default(), chain: Which::Own }
    }

    /// Asks the chains that `generation` has in shadow.
    pub(super) fn beside(generation: Arc<Generation>) -> Self {
        Self { generation, accounts: Accounts::default(), chain: Which::Shadow }
    }

    /// Asks what was asked in a login. An account counts as it was found then; one that nobody looked for is
    /// looked for now. `known` are the groups that the application knew.
    #[must_use]
    pub fn decide(&self, asked: &Asked, found: &Found, known: Option<&BTreeSet<String>>) -> Again {
        let config = self.generation.config();
        let application = &asked.context.application;
        let ground = match Live::new(config, application, &self.accounts.0) {
            Ok(live) => Revisited { live, found, known, looked_up: std::cell::Cell::new(false) },
            Err(denial) => return refused(denial),
        };
        let context = asked.context.clone();
        let begun = match self.chain {
            Which::Own if asked.canary => self.generation.begin_canary(context),
            Which::Own => self.generation.begin(context),
            Which::Shadow => self.generation.begin_shadow(context),
        };
        let mut run = match begun {
            Ok(run) => run,
            Err((denial, _)) => return refused(denial),
        };
        // A chain in shadow may leave the way to the one that decides.
        let asks_way = self.chain == Which::Own || run.has(Hook::Route);
        let direction = asked
            .routed
            .as_ref()
            .filter(|_| asks_way)
            .map(|routed| run.route(&routed.attempt).and_then(|way| within_contract(config, application, way)));
        if let Some(Err(denial)) = &direction {
            let answers = run.finish().answers.iter().map(Answered::from).collect();
            let conclusion = Conclusion::Denied(denial.clone());
            return Again { direction, conclusion, answers, looked_up: false };
        }
        let judged = judge(&mut run, &ground, &inquiry(asked));
        let answers = run.finish().answers.iter().map(Answered::from).collect();
        Again { direction, conclusion: judged.conclusion, answers, looked_up: ground.looked_up.get() }
    }

    /// Asks which way a login goes.
    ///
    /// # Errors
    ///
    /// Why it goes none.
    pub fn route(&self, context: &Context, attempt: &Attempt) -> Result<Direction, Denial> {
        let mut run = self.generation.begin(context.clone()).map_err(|(denial, _)| denial)?;
        let direction = run.route(attempt)?;
        within_contract(self.generation.config(), &context.application, direction)
    }
}

/// Asks `chain` what was asked, with nothing but what was written down: no configuration, no accounts.
#[must_use]
pub fn decide_as_stated(chain: &Chain, asked: &Asked, found: &Found, known: Option<&BTreeSet<String>>) -> Again {
    let mut run = match Run::new(chain, asked.context.clone(), 0, Arc::from("")) {
        Ok(run) => run,
        Err((denial, _)) => return refused(denial),
    };
    let direction = asked.routed.as_ref().map(|routed| run.route(&routed.attempt));
    let Judged { conclusion, .. } = judge(&mut run, &Stated { found, known }, &inquiry(asked));
    let answers = run.finish().answers.iter().map(Answered::from).collect();
    Again { direction, conclusion, answers, looked_up: false }
}

fn inquiry(asked: &Asked) -> Inquiry<'_> {
    Inquiry { identity: &asked.identity, held: &asked.held, may_step_up: asked.may_step_up, elapsed: asked.elapsed }
}

const fn refused(denial: Denial) -> Again {
    Again { direction: None, conclusion: Conclusion::Denied(denial), answers: Vec::new(), looked_up: false }
}

/// The configuration of a candidate, and the accounts as they were.
struct Revisited<'a> {
    live: Live<'a>,
    found: &'a Found,
    known: Option<&'a BTreeSet<String>>,
    looked_up: std::cell::Cell<bool>,
}

impl Ground for Revisited<'_> {
    fn hold_identity(&self, identity: &Identity) -> Result<(), Denial> {
        self.live.hold_identity(identity)
    }

    fn linked(&self, identity: &Identity) -> Result<Option<Account>, Denial> {
        match &self.found.linked {
            Some(linked) => linked.clone(),
            None => {
                self.looked_up.set(self.live.has_directory());
                self.live.linked(identity)
            }
        }
    }

    fn hold_profile(&self, profile: &Profile, identity: &Identity) -> Result<(), Denial> {
        self.live.hold_profile(profile, identity)
    }

    fn matched(&self, profile: &Profile, identity: &Identity) -> Result<Option<Account>, Denial> {
        match &self.found.account {
            Some(search) if search.key == profile.match_key => search.found.clone(),
            _ => {
                self.looked_up.set(self.live.has_directory() && profile.match_key.is_some());
                self.live.matched(profile, identity)
            }
        }
    }

    fn rules(&self) -> Rules {
        if self.found.reached_groups {
            // As the application was, and not as it is.
            Rules { known: self.known.cloned(), protected: self.live.protected().clone() }
        } else {
            self.live.rules()
        }
    }

    fn has_directory(&self) -> bool {
        self.live.has_directory()
    }

    fn bounds(&self) -> Bounds {
        self.live.bounds()
    }
}

/// Nothing but what was written down.
struct Stated<'a> {
    found: &'a Found,
    known: Option<&'a BTreeSet<String>>,
}

impl Ground for Stated<'_> {
    fn hold_identity(&self, _: &Identity) -> Result<(), Denial> {
        self.found.identity.clone().map_or(Ok(()), Err)
    }

    fn linked(&self, _: &Identity) -> Result<Option<Account>, Denial> {
        self.found.linked.clone().unwrap_or(Ok(None))
    }

    fn hold_profile(&self, _: &Profile, _: &Identity) -> Result<(), Denial> {
        self.found.profile.clone().map_or(Ok(()), Err)
    }

    fn matched(&self, profile: &Profile, _: &Identity) -> Result<Option<Account>, Denial> {
        match &self.found.account {
            Some(search) if search.key == profile.match_key => search.found.clone(),
            _ => Err(Denial::by_host(DenyCode::Sandbox, "another account is looked for than is written down")),
        }
    }

    fn rules(&self) -> Rules {
        Rules { protected: self.found.protected.clone(), known: self.known.cloned() }
    }

    fn has_directory(&self) -> bool {
        self.found.has_directory
    }

    fn bounds(&self) -> Bounds {
        self.found.bounds
    }
}
