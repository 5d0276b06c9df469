// What a policy is written with. `component.js` makes a component of it, `testing.js` asks it in
// a unit test; both do it by way of `start`.
import { nameProblem } from "./names.js";
import { check, HOOKS } from "./schema.js";

export { Domains, domain, normalizeDomain } from "./email.js";
export { foldCase, loosest, lower } from "./letters.js";
export { glob, isAttribute, isReserved, nameProblem, trim } from "./names.js";
export { decodedPath } from "./path.js";
export { matchers } from "./pattern.js";

/** The policy could not decide: the hook fails closed. */
export class Fault extends Error {
    /**
     * @param {"missing-claim" | "bad-claim" | "lookup-failed" | "internal"} kind
     * @param {string} detail what is missing or bad, such as the claim's name
     */
    constructor(kind, detail) {
        super(`${kind}: ${detail}`);
        this.name = "Fault";
        this.kind = kind;
        this.detail = detail;
    }
}

/** What is wrong with settings, all of it. */
export class Problems {
    /** @type {{ path: string, message: string }[]} */
    list = [];

    /** Notes a problem at a JSON pointer. */
    add(path, message) {
        this.list.push({ path, message });
    }

    /** Notes what is wrong with a name that a decision will use; `what` says whose, such as `a group`. */
    checkName(path, what, name) {
        const problem = nameProblem(name);
        if (problem) this.add(path, `${what} ${problem}`);
    }

    /** Notes what is wrong with one of the `acr_values` (OIDC Core 3.1.2.1: separated by blanks). */
    checkAcr(path, acr) {
        const problem = nameProblem(acr) ?? (acr.includes(" ") ? "has a blank" : undefined);
        if (problem) this.add(path, `an acr value ${problem}`);
    }
}

let write = () => {};

/** Where lines for the decision's trace go. */
export function setLog(sink) {
    write = sink;
}

/** Lines for the decision's trace. */
export const log = {
    debug: (message) => write("debug", String(message)),
    info: (message) => write("info", String(message)),
    warn: (message) => write("warn", String(message)),
};

/**
 * A policy: `configure` and a function for each hook that it decides.
 *
 * `configure` gets the settings, which fit the manifest's schema, and what it returns is given to
 * every hook beside the question. Without one, that is the settings themselves.
 */
export function definePolicy(definition) {
    const hooks = HOOKS.filter((hook) => definition[hook] !== undefined);
    for (const key of Object.keys(definition)) {
        if (key !== "configure" && !HOOKS.includes(key)) {
            throw new TypeError(`\`${key}\` is no hook; expected ${HOOKS.join(", ")} or configure`);
        }
        if (typeof definition[key] !== "function") throw new TypeError(`\`${key}\` is no function`);
    }
    if (hooks.length === 0) throw new TypeError("the policy decides no hook");
    return Object.freeze({
        start(settings) {
            const problems = new Problems();
            const state = definition.configure ? definition.configure(settings, problems) : settings;
            if (problems.list.length > 0) return { problems: problems.list };
            return { hooks, ask: (hook, question) => ask(definition, state, hook, question) };
        },
    });
}

/**
 * Several policies in one component: the setting `key` says which one it is this time. Each has
 * a manifest of its own, of the same component.
 */
export function chooseBy(key, policies) {
    return Object.freeze({
        start({ [key]: name, ...settings }) {
            if (!Object.hasOwn(policies, name)) {
                return { problems: [{ path: `/${key}`, message: `expected one of ${Object.keys(policies).join(", ")}` }] };
            }
            return policies[name].start(settings);
        },
    });
}

/** One question, one answer: `{ ok }` or `{ err }`. */
function ask(definition, state, hook, question) {
    const internal = (detail) => ({ err: { internal: detail } });
    if (!HOOKS.includes(hook) || !definition[hook]) return internal(`the policy does not decide \`${hook}\``);
    const unfit = check(`${hook}.question`, question);
    if (unfit) return internal(`the question does not fit the contract at \`${unfit.pointer}\`: ${unfit.message}`);
    let outcome;
    try {
        outcome = { ok: definition[hook](question, state) };
    } catch (error) {
        if (error instanceof Fault) {
            outcome = { err: { [error.kind]: error.detail } };
        } else {
            // A line of the trace has no line breaks.
            const places = error?.stack ? ` (at ${String(error.stack).trim().split("\n").join(" < ")})` : "";
            log.warn(`${hook} threw ${error}${places}`);
            return internal(String(error));
        }
    }
    if (typeof outcome.ok?.then === "function") return internal("a hook answers at once, and returns no promise");
    const wrong = check(`${hook}.answer`, outcome);
    return wrong ? internal(`the answer does not fit the contract at \`${wrong.pointer}\`: ${wrong.message}`) : outcome;
}

export const reason = (code, detail = "") => ({ code, detail: String(detail) });

/** Let in. */
export const allow = (code, detail) => ({ allow: reason(code, detail) });

/** Turn away: at `admit` and `access`. */
export const deny = (code, detail) => ({ deny: reason(code, detail) });

/** Ask for more, at `admit`. */
export const stepUp = (acrValues, why, maxAge = null) => ({
    "step-up": { "acr-values": acrValues, "max-age": maxAge, reason: why },
});

/** The value of the claim, fact or attribute `name`; undefined where it is not there. */
export function valueOf(claims, name) {
    const value = claims.find((claim) => claim.name === name)?.value;
    if (value === undefined) return undefined;
    return Object.hasOwn(value, "json") ? JSON.parse(value.json) : Object.values(value)[0];
}

/** The names that the upstream listed; undefined where it sent no list. */
export const listed = (identity) => identity.groups.listed;

/** Adds a grant to a plan, unless the group is there. */
export function grant(plan, group, why) {
    if (!plan.grants.some((other) => other.group === group)) plan.grants.push({ group, because: why });
}
