// Generated from wit/policy.wit. The same names and shapes as in the JSON; what may be left out of an answer
// is null where it is none in a question.
/** The value of a claim. WIT has no recursive types: a nested object arrives as
 *  JSON text with sorted keys. */
export type Value =
    | { text: string }
    | { texts: string[] }
    | { integer: number }
    | { number: number }
    | { boolean: boolean }
    | { json: string };
/** One statement about a subject, an account or a request. */
export interface Claim {
    name: string;
    value: Value;
}
/** What the host vouches for. Nothing in here can be forged by the user agent. */
export interface Context {
    /** The login's id: the key under which the audit has this decision. */
    login: string;
    /** When the decision is made, in seconds since 1970-01-01 UTC. The only clock. */
    at: number;
    /** The organization that the application belongs to. */
    tenant: string;
    /** The application that the subject wants to enter. */
    application: string;
    /** The user agent's address; none where no trusted proxy told it. */
    address: string | null;
    /** Facts of the request, those that the manifest's `facts` names and no others:
     *  `request.host`, `request.path`, `request.method`, `request.target` (where the
     *  subject wanted to go), `session.remembered` and `header.NAME` in lower case.
     *  Credentials are never among them, whatever a manifest names. */
    facts: Claim[];
}
/** The groups as the upstream reported them. `absent` and an empty list differ:
 *  absent takes no group from anybody. */
export type GroupClaim =
    /** The manifest's `reads-groups` does not name them: the policy does not get to know
     *  what the upstream sent. */
    | "withheld"
    /** The upstream sent no group claim at all. */
    | "absent"
    /** It sent a reference in place of a list that is too long (Entra's overage). */
    | "overage"
    /** The names, exactly as sent. */
    | { listed: string[] };
export interface Email {
    address: string;
    /** True only where the upstream said so and is trusted to say so. */
    verified: boolean;
}
/** A verified identity: signature, issuer, audience, nonce and times were checked
 *  before any policy ran. */
export interface Identity {
    /** The configured id of the upstream. */
    upstream: string;
    /** How the identity was proved: `oidc`, `oauth2`, `saml` or `local` (the gateway's own
     *  accounts). Open: a policy must not take a name that it does not know for one that
     *  it trusts. */
    protocol: string;
    issuer: string;
    /** Unique only together with `issuer`. */
    subject: string;
    email: Email | null;
    groups: GroupClaim;
    /** When the subject last authenticated, in seconds since 1970-01-01 UTC. Passing the
     *  gateway's own second factor is authenticating. */
    "auth-time": number | null;
    /** `urn:vestibule:second-factor` where the gateway's own second factor was passed; no
     *  upstream can state that. What the upstream states otherwise. */
    acr: string | null;
    amr: string[];
    /** The claims that the manifest's `reads` names, and no others. */
    claims: Claim[];
}
/** What the application already knows of this subject. */
export interface Account {
    active: boolean;
    /** Empty where the manifest's `reads-groups` does not name them. */
    groups: string[];
    attributes: Claim[];
}
/** Why a decision came out as it did. */
export interface Reason {
    /** A stable name in kebab-case, such as `domain-not-allowed`. The host turns it
     *  into words for the person; a policy never writes to a page. */
    code: string;
    /** For the administrator's eyes. */
    detail: string;
}
/** More than was proved so far: a stronger authentication, a newer one, or both. */
export interface StepUp {
    /** OIDC Core §3.1.2.1 `acr_values`, without blanks: one of them will do. Empty asks
     *  for none. `urn:vestibule:second-factor` asks for the gateway's own second factor. */
    "acr-values": string[];
    /** The subject must have authenticated within so many seconds. Fewer than 30 count as
     *  30: the way back from the upstream takes its time. */
    "max-age"?: number | null;
    reason: Reason;
}
/** How the account is found. */
export type MatchKey =
    | { username: string }
    | { email: string };
/** Who the subject is to the application. */
export interface Profile {
    "match-key"?: MatchKey | null;
    username?: string | null;
    email?: string | null;
    "given-name"?: string | null;
    "family-name"?: string | null;
    "display-name"?: string | null;
    /** Custom attributes, such as `department`. */
    attributes: Claim[];
}
export interface Grant {
    group: string;
    because: Reason;
}
/** Which groups the subject is to have in the application. */
export interface Plan {
    grants: Grant[];
    /** Take away the account's other groups. False keeps them. */
    replace: boolean;
    /** Make groups that the application does not know. False drops such grants. */
    "create-missing": boolean;
    /** Groups that must not change either way. */
    exclude: string[];
    /** Leave the account's groups as they are. */
    leave: boolean;
}
/** The policy could not decide. The host treats it like a trap: the hook fails closed. */
export type Fault =
    | { "missing-claim": string }
    | { "bad-claim": string }
    | { "lookup-failed": string }
    | { internal: string };
export interface RouteAttempt {
    context: Context;
    /** What the person typed on the identifier page, if it was asked. */
    identifier: string | null;
    /** Ids of the upstreams open to this application, in display order. */
    upstreams: string[];
    /** The upstream used last from this user agent. */
    previous: string | null;
    /** Upstreams that already failed in this login. */
    failed: string[];
}
export interface RouteRedirect {
    upstream: string;
    /** Show the page for this long before leaving, in seconds. 0 leaves at once. */
    delay: number;
    "login-hint"?: string | null;
    "acr-values": string[];
    /** Ask the upstream to authenticate anew if it did so longer ago than this, in seconds. */
    "max-age"?: number | null;
}
export type RouteDirection =
    /** No opinion. */
    | "pass"
    | { redirect: RouteRedirect }
    /** Ask for a username or an email address first. */
    | "ask-identifier"
    /** Let the person choose among these, in this order. What is chosen is carried out as
     *  if it had been the only one. */
    | { choose: RouteRedirect[] }
    /** The gateway's own login form. */
    | "local-form"
    /** Leave the login to the application: the request passes, without any identity. */
    | "application-form"
    | { refuse: Reason };
export type AdmitVerdict =
    | "pass"
    | { allow: Reason }
    | { deny: Reason }
    | { "step-up": StepUp };
/** A group that the subject is to have. */
export interface ProvisionGranted {
    group: string;
    /** The code of the reason for the grant. */
    because: string;
}
export type ProvisionUpdate = "never" | "on-creation" | "every-login";
export interface ProvisionTerms {
    /** None allows; a reason denies the login of a subject without an account. */
    "refuse-creation"?: Reason | null;
    "update-attributes": ProvisionUpdate;
    reactivate: boolean;
}
export interface SessionTerms {
    /** In seconds. */
    lifetime: number;
    /** In seconds. */
    idle: number;
    /** Keep the cookie when the browser closes. */
    remember: boolean;
}
export interface AccessRequest {
    method: string;
    host: string;
    /** Normalized; the same bytes go to the application. */
    path: string;
}
export type AccessVerdict =
    | "pass"
    | { deny: Reason }
    /** Not without more. */
    | { reauthenticate: StepUp };
export interface LogoutEnding {
    /** End the session at the upstream, too. */
    "at-upstream": boolean;
    target?: string | null;
}
/** Which upstream authenticates the subject. Before any upstream is contacted.
 *  In a chain, the first direction that is not `pass` wins. */
export interface RouteQuestion {
    attempt: RouteAttempt;
}
export type RouteAnswer = RouteDirection;
/** May this verified identity log in? In a chain, any `deny` wins; step-ups add up;
 *  at least one `allow` is needed.
 *  
 *  `account` is the one that is linked to this (issuer, subject), if any: an account that
 *  is merely matched by name or address is known only after `profile`. */
export interface AdmitQuestion {
    context: Context;
    identity: Identity;
    account: Account | null;
}
export type AdmitAnswer = AdmitVerdict;
/** Who the subject is to the application. In a chain, each policy gets the profile so far
 *  and returns it whole. `account` is the linked one, as in `admit`; the profile's
 *  `match-key` then finds the account that the later hooks get. */
export interface ProfileQuestion {
    context: Context;
    identity: Identity;
    account: Account | null;
    "so-far": Profile;
}
export type ProfileAnswer = Profile;
/** Which groups the subject has in the application. In a chain, each policy gets the plan
 *  so far and returns it whole. The host takes excluded and protected groups out of the
 *  difference, whatever a policy says. */
export interface GroupsQuestion {
    context: Context;
    identity: Identity;
    account: Account | null;
    profile: Profile;
    "so-far": Plan;
}
export type GroupsAnswer = Plan;
/** May an account be created, updated, reactivated? Called when groups are known: `granted`
 *  are those of the plan, none where the manifest's `reads-groups` does not name them.
 *  In a chain, the most restrictive answer wins. */
export interface ProvisionQuestion {
    context: Context;
    identity: Identity;
    account: Account | null;
    profile: Profile;
    granted: ProvisionGranted[];
}
export type ProvisionAnswer = ProvisionTerms;
/** For how long, and on what terms. `groups` are those that the subject is granted, none where
 *  the manifest's `reads-groups` does not name them. In a chain, `so-far` begins with the host's maximum,
 *  and the shortest wins: a policy can shorten, never lengthen. `remember` needs every
 *  policy's yes. */
export interface SessionQuestion {
    context: Context;
    identity: Identity;
    groups: string[];
    "so-far": SessionTerms;
}
export type SessionAnswer = SessionTerms;
/** May this request of a live session pass? Called for the paths that the manifest's
 *  `access-paths` names. `groups` are as in `session`.
 *  In a chain, `deny` wins over `reauthenticate`, and that over `pass`; step-ups add up. The
 *  same request is asked about again after the login: a policy that is still not satisfied
 *  asks again, and the host ends in a refusal what cannot be met. */
export interface AccessQuestion {
    context: Context;
    identity: Identity;
    groups: string[];
    request: AccessRequest;
}
export type AccessAnswer = AccessVerdict;
/** Where a logout ends. In a chain, the first answer that is not none wins. The host
 *  follows only targets that the configuration allows. */
export interface LogoutQuestion {
    context: Context;
    identity: Identity;
    requested: string | null;
}
export type LogoutAnswer = LogoutEnding | null;
export type Hook = "route" | "admit" | "profile" | "groups" | "provision" | "session" | "access" | "logout";
