import type {
    AccessAnswer, AccessQuestion, AdmitAnswer, AdmitQuestion, Claim, GroupsAnswer, GroupsQuestion, Identity,
    LogoutAnswer, LogoutQuestion, Plan, ProfileAnswer, ProfileQuestion, ProvisionAnswer, ProvisionQuestion, Reason,
    RouteAnswer, RouteQuestion, SessionAnswer, SessionQuestion, StepUp,
} from "./types.js";

export type * from "./types.js";

/** What is wrong with one setting, at a JSON pointer. */
export interface Problem {
    path: string;
    message: string;
}

/** What is wrong with settings, all of it. */
export class Problems {
    readonly list: Problem[];
    add(path: string, message: string): void;
    /** Notes what is wrong with a name that a decision will use; `what` says whose, such as `a group`. */
    checkName(path: string, what: string, name: string): void;
    /** Notes what is wrong with one of the `acr_values`. */
    checkAcr(path: string, acr: string): void;
}

/** `configure` and a function for each hook that the policy decides. */
export interface Definition<Settings, State> {
    /** Gets the settings, which fit the manifest's schema; what it returns is given to every hook. */
    configure?(settings: Settings, problems: Problems): State;
    route?(question: RouteQuestion, state: State): RouteAnswer;
    admit?(question: AdmitQuestion, state: State): AdmitAnswer;
    profile?(question: ProfileQuestion, state: State): ProfileAnswer;
    groups?(question: GroupsQuestion, state: State): GroupsAnswer;
    provision?(question: ProvisionQuestion, state: State): ProvisionAnswer;
    session?(question: SessionQuestion, state: State): SessionAnswer;
    access?(question: AccessQuestion, state: State): AccessAnswer;
    logout?(question: LogoutQuestion, state: State): LogoutAnswer;
}

/** What `export default` is to be. */
export interface Policy {
    readonly start: (settings: never) => unknown;
}

export function definePolicy<Settings = any, State = Settings>(definition: Definition<Settings, State>): Policy;

/** Several policies in one component: the setting `key` says which one it is this time. */
export function chooseBy(key: string, policies: Record<string, Policy>): Policy;

export type FaultKind = "missing-claim" | "bad-claim" | "lookup-failed" | "internal";

/** The policy could not decide: throw it, and the hook fails closed. */
export class Fault extends Error {
    constructor(kind: FaultKind, detail: string);
    readonly kind: FaultKind;
    readonly detail: string;
}

/** Lines for the decision's trace. */
export const log: { debug(message: string): void; info(message: string): void; warn(message: string): void };

export function reason(code: string, detail?: string): Reason;
export function allow(code: string, detail?: string): { allow: Reason };
export function deny(code: string, detail?: string): { deny: Reason };
export function stepUp(acrValues: string[], why: Reason, maxAge?: number | null): { "step-up": StepUp };

/** The value of the claim, fact or attribute `name`; undefined where it is not there. */
export function valueOf(claims: Claim[], name: string): unknown;

/** The names that the upstream listed; undefined where it sent no list. */
export function listed(identity: Identity): string[] | undefined;

/** Adds a grant to a plan, unless the group is there. */
export function grant(plan: Plan, group: string, why: Reason): void;

/** The domain of an address as A-labels, or the reason why it has none. */
export function domain(address: string): { domain: string; reason?: undefined } | { domain?: undefined; reason: Reason };

/** A domain as A-labels in lower case; undefined where it has no one canonical form. */
export function normalizeDomain(name: string): string | undefined;

/** A list of domains as operators write it: `a.com; .b.org`. */
export class Domains {
    constructor(list: string, report: (message: string) => void);
    readonly isEmpty: boolean;
    has(name: string): boolean;
}

/** What is wrong with a group's or another name; undefined where nothing is. */
export function nameProblem(name: string): string | undefined;

/** Is `name` the gateway's own, so that no custom attribute may have it? */
export function isReserved(name: string): boolean;

/** May `name` be a custom attribute's? */
export function isAttribute(name: string): boolean;

/** `text` without the blanks around it, those of Unicode. */
export function trim(text: string): string;

/** Small letters, letter by letter; a letter that shares its small letter with another, as the Kelvin sign does, stays. */
export function foldCase(text: string): string;

/** `foldCase` for a name that finds or grants something, which knows the Greek sigma at the end of a word, too. */
export function lower(text: string): string;

/** One text for all that differ in case alone, however one compares them: for names that are to be kept out. */
export function loosest(text: string): string;

/** What the escapes of a path stand for: `/my%20files` is `/my files`. */
export function decodedPath(path: string): string;

/** A pattern as an operator writes it, such as `{ suffix: "-admins" }`. */
export type Pattern = { exact: string } | { suffix: string } | { glob: string } | { regex: string };

/** Makes patterns ready to match; what is wrong with them is noted below the JSON pointer `at`. */
export function matchers(
    patterns: Pattern[],
    at: string,
    problems: Problems,
    options?: { ignoreCase?: boolean },
): ((text: string) => boolean)[];

/** Does the whole of `text` fit `pattern`, where `*` stands for any characters and `?` for one? */
export function glob(pattern: string, text: string): boolean;
