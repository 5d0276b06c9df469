import type {
    AccessAnswer, AccessQuestion, AdmitAnswer, AdmitQuestion, Claim, GroupsAnswer, GroupsQuestion, Hook, LogoutAnswer,
    LogoutQuestion, Policy, Problem, ProfileAnswer, ProfileQuestion, ProvisionAnswer, ProvisionQuestion, RouteAnswer,
    RouteQuestion, SessionAnswer, SessionQuestion,
} from "./index.js";

/** What differs from the defaults of docs/cases.md. */
type Parts<Question> = { [Key in keyof Question]?: Question[Key] extends readonly unknown[] ? Question[Key] : Partial<Question[Key]> | Question[Key] };

/** A policy that took its settings. */
export interface Started {
    readonly hooks: Hook[];
    route(parts?: Parts<RouteQuestion>): RouteAnswer;
    admit(parts?: Parts<AdmitQuestion>): AdmitAnswer;
    profile(parts?: Parts<ProfileQuestion>): ProfileAnswer;
    groups(parts?: Parts<GroupsQuestion>): GroupsAnswer;
    provision(parts?: Parts<ProvisionQuestion>): ProvisionAnswer;
    session(parts?: Parts<SessionQuestion>): SessionAnswer;
    access(parts?: Parts<AccessQuestion>): AccessAnswer;
    logout(parts?: Parts<LogoutQuestion>): LogoutAnswer;
}

/** The policy does not take its settings. */
export class SettingsError extends Error {
    readonly problems: Problem[];
}

export function start(policy: Policy, settings?: object): Started;

/** A claim, fact or attribute of a plain value. */
export function claim(name: string, value: unknown): Claim;
