"""Questions and answers. Generated from wit/policy.wit.

The same names and shapes as in the JSON; what may be left out of an answer is None where it is none in a
question.
"""

from typing import Literal, NotRequired, TypedDict, Union

# The value of a claim. WIT has no recursive types: a nested object arrives as
# JSON text with sorted keys.
ValueText = TypedDict("ValueText", {"text": str})
ValueTexts = TypedDict("ValueTexts", {"texts": list[str]})
ValueInteger = TypedDict("ValueInteger", {"integer": int})
ValueNumber = TypedDict("ValueNumber", {"number": float})
ValueBoolean = TypedDict("ValueBoolean", {"boolean": bool})
ValueJson = TypedDict("ValueJson", {"json": str})
Value = Union[
    ValueText,
    ValueTexts,
    ValueInteger,
    ValueNumber,
    ValueBoolean,
    ValueJson,
]

# One statement about a subject, an account or a request.
Claim = TypedDict("Claim", {
    "name": str,
    "value": Value,
})

# What the host vouches for. Nothing in here can be forged by the user agent.
Context = TypedDict("Context", {
    # The login's id: the key under which the audit has this decision.
    "login": str,
    # When the decision is made, in seconds since 1970-01-01 UTC. The only clock.
    "at": int,
    # The organization that the application belongs to.
    "tenant": str,
    # The application that the subject wants to enter.
    "application": str,
    # The user agent's address; none where no trusted proxy told it.
    "address": Union[str, None],
    # Facts of the request, those that the manifest's `facts` names and no others:
    # `request.host`, `request.path`, `request.method`, `request.target` (where the
    # subject wanted to go), `session.remembered` and `header.NAME` in lower case.
    # Credentials are never among them, whatever a manifest names.
    "facts": list[Claim],
})

# The groups as the upstream reported them. `absent` and an empty list differ:
# absent takes no group from anybody.
GroupClaimListed = TypedDict("GroupClaimListed", {"listed": list[str]})
GroupClaim = Union[
    # The manifest's `reads-groups` does not name them: the policy does not get to know
    # what the upstream sent.
    Literal["withheld"],
    # The upstream sent no group claim at all.
    Literal["absent"],
    # It sent a reference in place of a list that is too long (Entra's overage).
    Literal["overage"],
    # The names, exactly as sent.
    GroupClaimListed,
]

Email = TypedDict("Email", {
    "address": str,
    # True only where the upstream said so and is trusted to say so.
    "verified": bool,
})

# A verified identity: signature, issuer, audience, nonce and times were checked
# before any policy ran.
Identity = TypedDict("Identity", {
    # The configured id of the upstream.
    "upstream": str,
    # How the identity was proved: `oidc`, `oauth2`, `saml` or `local` (the gateway's own
    # accounts). Open: a policy must not take a name that it does not know for one that
    # it trusts.
    "protocol": str,
    "issuer": str,
    # Unique only together with `issuer`.
    "subject": str,
    "email": Union[Email, None],
    "groups": GroupClaim,
    # When the subject last authenticated, in seconds since 1970-01-01 UTC. Passing the
    # gateway's own second factor is authenticating.
    "auth-time": Union[int, None],
    # `urn:vestibule:second-factor` where the gateway's own second factor was passed; no
    # upstream can state that. What the upstream states otherwise.
    "acr": Union[str, None],
    "amr": list[str],
    # The claims that the manifest's `reads` names, and no others.
    "claims": list[Claim],
})

# What the application already knows of this subject.
Account = TypedDict("Account", {
    "active": bool,
    # Empty where the manifest's `reads-groups` does not name them.
    "groups": list[str],
    "attributes": list[Claim],
})

# Why a decision came out as it did.
Reason = TypedDict("Reason", {
    # A stable name in kebab-case, such as `domain-not-allowed`. The host turns it
    # into words for the person; a policy never writes to a page.
    "code": str,
    # For the administrator's eyes.
    "detail": str,
})

# More than was proved so far: a stronger authentication, a newer one, or both.
StepUp = TypedDict("StepUp", {
    # OIDC Core §3.1.2.1 `acr_values`, without blanks: one of them will do. Empty asks
    # for none. `urn:vestibule:second-factor` asks for the gateway's own second factor.
    "acr-values": list[str],
    # The subject must have authenticated within so many seconds. Fewer than 30 count as
    # 30: the way back from the upstream takes its time.
    "max-age": NotRequired[Union[int, None]],
    "reason": Reason,
})

# How the account is found.
MatchKeyUsername = TypedDict("MatchKeyUsername", {"username": str})
MatchKeyEmail = TypedDict("MatchKeyEmail", {"email": str})
MatchKey = Union[
    MatchKeyUsername,
    MatchKeyEmail,
]

# Who the subject is to the application.
Profile = TypedDict("Profile", {
    "match-key": NotRequired[Union[MatchKey, None]],
    "username": NotRequired[Union[str, None]],
    "email": NotRequired[Union[str, None]],
    "given-name": NotRequired[Union[str, None]],
    "family-name": NotRequired[Union[str, None]],
    "display-name": NotRequired[Union[str, None]],
    # Custom attributes, such as `department`.
    "attributes": list[Claim],
})

Grant = TypedDict("Grant", {
    "group": str,
    "because": Reason,
})

# Which groups the subject is to have in the application.
Plan = TypedDict("Plan", {
    "grants": list[Grant],
    # Take away the account's other groups. False keeps them.
    "replace": bool,
    # Make groups that the application does not know. False drops such grants.
    "create-missing": bool,
    # Groups that must not change either way.
    "exclude": list[str],
    # Leave the account's groups as they are.
    "leave": bool,
})

# The policy could not decide. The host treats it like a trap: the hook fails closed.
FaultMissingClaim = TypedDict("FaultMissingClaim", {"missing-claim": str})
FaultBadClaim = TypedDict("FaultBadClaim", {"bad-claim": str})
FaultLookupFailed = TypedDict("FaultLookupFailed", {"lookup-failed": str})
FaultInternal = TypedDict("FaultInternal", {"internal": str})
Fault = Union[
    FaultMissingClaim,
    FaultBadClaim,
    FaultLookupFailed,
    FaultInternal,
]

RouteAttempt = TypedDict("RouteAttempt", {
    "context": Context,
    # What the person typed on the identifier page, if it was asked.
    "identifier": Union[str, None],
    # Ids of the upstreams open to this application, in display order.
    "upstreams": list[str],
    # The upstream used last from this user agent.
    "previous": Union[str, None],
    # Upstreams that already failed in this login.
    "failed": list[str],
})

RouteRedirect = TypedDict("RouteRedirect", {
    "upstream": str,
    # Show the page for this long before leaving, in seconds. 0 leaves at once.
    "delay": int,
    "login-hint": NotRequired[Union[str, None]],
    "acr-values": list[str],
    # Ask the upstream to authenticate anew if it did so longer ago than this, in seconds.
    "max-age": NotRequired[Union[int, None]],
})

RouteDirectionRedirect = TypedDict("RouteDirectionRedirect", {"redirect": RouteRedirect})
RouteDirectionChoose = TypedDict("RouteDirectionChoose", {"choose": list[RouteRedirect]})
RouteDirectionRefuse = TypedDict("RouteDirectionRefuse", {"refuse": Reason})
RouteDirection = Union[
    # No opinion.
    Literal["pass"],
    RouteDirectionRedirect,
    # Ask for a username or an email address first.
    Literal["ask-identifier"],
    # Let the person choose among these, in this order. What is chosen is carried out as
    # if it had been the only one.
    RouteDirectionChoose,
    # The gateway's own login form.
    Literal["local-form"],
    # Leave the login to the application: the request passes, without any identity.
    Literal["application-form"],
    RouteDirectionRefuse,
]

AdmitVerdictAllow = TypedDict("AdmitVerdictAllow", {"allow": Reason})
AdmitVerdictDeny = TypedDict("AdmitVerdictDeny", {"deny": Reason})
AdmitVerdictStepUp = TypedDict("AdmitVerdictStepUp", {"step-up": StepUp})
AdmitVerdict = Union[
    Literal["pass"],
    AdmitVerdictAllow,
    AdmitVerdictDeny,
    AdmitVerdictStepUp,
]

# A group that the subject is to have.
ProvisionGranted = TypedDict("ProvisionGranted", {
    "group": str,
    # The code of the reason for the grant.
    "because": str,
})

ProvisionUpdate = Literal["never", "on-creation", "every-login"]

ProvisionTerms = TypedDict("ProvisionTerms", {
    # None allows; a reason denies the login of a subject without an account.
    "refuse-creation": NotRequired[Union[Reason, None]],
    "update-attributes": ProvisionUpdate,
    "reactivate": bool,
})

SessionTerms = TypedDict("SessionTerms", {
    # In seconds.
    "lifetime": int,
    # In seconds.
    "idle": int,
    # Keep the cookie when the browser closes.
    "remember": bool,
})

AccessRequest = TypedDict("AccessRequest", {
    "method": str,
    "host": str,
    # Normalized; the same bytes go to the application.
    "path": str,
})

AccessVerdictDeny = TypedDict("AccessVerdictDeny", {"deny": Reason})
AccessVerdictReauthenticate = TypedDict("AccessVerdictReauthenticate", {"reauthenticate": StepUp})
AccessVerdict = Union[
    Literal["pass"],
    AccessVerdictDeny,
    # Not without more.
    AccessVerdictReauthenticate,
]

LogoutEnding = TypedDict("LogoutEnding", {
    # End the session at the upstream, too.
    "at-upstream": bool,
    "target": NotRequired[Union[str, None]],
})

# Which upstream authenticates the subject. Before any upstream is contacted.
# In a chain, the first direction that is not `pass` wins.
RouteQuestion = TypedDict("RouteQuestion", {
    "attempt": RouteAttempt,
})
RouteAnswer = RouteDirection

# May this verified identity log in? In a chain, any `deny` wins; step-ups add up;
# at least one `allow` is needed.
# 
# `account` is the one that is linked to this (issuer, subject), if any: an account that
# is merely matched by name or address is known only after `profile`.
AdmitQuestion = TypedDict("AdmitQuestion", {
    "context": Context,
    "identity": Identity,
    "account": Union[Account, None],
})
AdmitAnswer = AdmitVerdict

# Who the subject is to the application. In a chain, each policy gets the profile so far
# and returns it whole. `account` is the linked one, as in `admit`; the profile's
# `match-key` then finds the account that the later hooks get.
ProfileQuestion = TypedDict("ProfileQuestion", {
    "context": Context,
    "identity": Identity,
    "account": Union[Account, None],
    "so-far": Profile,
})
ProfileAnswer = Profile

# Which groups the subject has in the application. In a chain, each policy gets the plan
# so far and returns it whole. The host takes excluded and protected groups out of the
# difference, whatever a policy says.
GroupsQuestion = TypedDict("GroupsQuestion", {
    "context": Context,
    "identity": Identity,
    "account": Union[Account, None],
    "profile": Profile,
    "so-far": Plan,
})
GroupsAnswer = Plan

# May an account be created, updated, reactivated? Called when groups are known: `granted`
# are those of the plan, none where the manifest's `reads-groups` does not name them.
# In a chain, the most restrictive answer wins.
ProvisionQuestion = TypedDict("ProvisionQuestion", {
    "context": Context,
    "identity": Identity,
    "account": Union[Account, None],
    "profile": Profile,
    "granted": list[ProvisionGranted],
})
ProvisionAnswer = ProvisionTerms

# For how long, and on what terms. `groups` are those that the subject is granted, none where
# the manifest's `reads-groups` does not name them. In a chain, `so-far` begins with the host's maximum,
# and the shortest wins: a policy can shorten, never lengthen. `remember` needs every
# policy's yes.
SessionQuestion = TypedDict("SessionQuestion", {
    "context": Context,
    "identity": Identity,
    "groups": list[str],
    "so-far": SessionTerms,
})
SessionAnswer = SessionTerms

# May this request of a live session pass? Called for the paths that the manifest's
# `access-paths` names. `groups` are as in `session`.
# In a chain, `deny` wins over `reauthenticate`, and that over `pass`; step-ups add up. The
# same request is asked about again after the login: a policy that is still not satisfied
# asks again, and the host ends in a refusal what cannot be met.
AccessQuestion = TypedDict("AccessQuestion", {
    "context": Context,
    "identity": Identity,
    "groups": list[str],
    "request": AccessRequest,
})
AccessAnswer = AccessVerdict

# Where a logout ends. In a chain, the first answer that is not none wins. The host
# follows only targets that the configuration allows.
LogoutQuestion = TypedDict("LogoutQuestion", {
    "context": Context,
    "identity": Identity,
    "requested": Union[str, None],
})
LogoutAnswer = Union[LogoutEnding, None]

Hook = Literal["route", "admit", "profile", "groups", "provision", "session", "access", "logout"]
