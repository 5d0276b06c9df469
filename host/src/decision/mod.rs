//! What is asked of the policies, what they answer, and what follows. Pure data and pure
//! functions: no input or output, no sandbox, no clock.

mod admission;
mod groups;
mod hooks;
mod reason;
mod record;
mod trace;

pub use admission::{Account, Admission, Admitted, Difference, MatchKey, Profile};
pub use groups::{Grant, POWER_MAX, Plan, Rules, difference, power, prune};
pub use hooks::{
    AccessRequest, AccessVerdict, Admit, Attempt, Claim, Context, Direction, Ending, Hook, ProvisionTerms, Redirect,
    SessionTerms, StepUp, Update, Value,
};
pub use reason::{Denial, Denied, DenyCode, Reason};
pub use record::{
    Allowance, Answered, Asked, Bounds, Conclusion, Decided, Found, Granted, Held, Ingredient, Recipe, Routed, Search,
    WayChosen,
};
pub use trace::{Answer, PolicyRef, Recorded, Trace};
