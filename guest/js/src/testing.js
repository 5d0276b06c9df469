// Asks a policy without a component, for unit tests. What a question leaves out is as in the
// gateway's cases (docs/cases.md), and the question and the answer are held to the contract.
import { Fault } from "./index.js";
import { check, HOOKS } from "./schema.js";

const CONTEXT = { login: "case", at: 1700000000, tenant: "default", application: "app", address: null, facts: [] };
const IDENTITY = {
    upstream: "idp",
    protocol: "oidc",
    issuer: "https://idp.example",
    subject: "s-1",
    email: null,
    groups: "absent",
    "auth-time": null,
    acr: null,
    amr: [],
    claims: [],
};
const ACCOUNT = { active: true, groups: [], attributes: [] };
const PROFILE = {
    "match-key": null,
    username: null,
    email: null,
    "given-name": null,
    "family-name": null,
    "display-name": null,
    attributes: [],
};
const PLAN = { grants: [], replace: false, "create-missing": false, exclude: [], leave: false };
const COMMON = { context: CONTEXT, identity: IDENTITY };
const DEFAULTS = {
    route: { attempt: { context: CONTEXT, identifier: null, upstreams: ["idp"], previous: null, failed: [] } },
    admit: { ...COMMON, account: null },
    profile: { ...COMMON, account: null, "so-far": PROFILE },
    groups: { ...COMMON, account: null, profile: PROFILE, "so-far": PLAN },
    provision: { ...COMMON, account: null, profile: PROFILE, granted: [] },
    session: { ...COMMON, groups: [], "so-far": { lifetime: 28800, idle: 3600, remember: true } },
    access: { ...COMMON, groups: [], request: { method: "GET", host: "app.example", path: "/" } },
    logout: { ...COMMON, requested: null },
};

/** The policy does not take its settings. */
export class SettingsError extends Error {
    constructor(problems) {
        super(problems.map(({ path, message }) => `${path}: ${message}`).join("; "));
        this.name = "SettingsError";
        this.problems = problems;
    }
}

/** Configures `policy`. The result has its hooks, and a function for each, which takes what differs. */
export function start(policy, settings = {}) {
    const started = policy.start(structuredClone(settings));
    if (started.problems) throw new SettingsError(started.problems);
    const ask = (hook) => (parts = {}) => {
        const question = questionOf(hook, structuredClone(parts));
        const unfit = check(`${hook}.question`, question);
        if (unfit) throw new TypeError(`the question does not fit the contract at \`${unfit.pointer}\`: ${unfit.message}`);
        // There and back, as in a component: an answer may share nothing with the question.
        const outcome = JSON.parse(JSON.stringify(started.ask(hook, question)));
        if (outcome.err) throw new Fault(...Object.entries(outcome.err)[0]);
        return outcome.ok;
    };
    return { hooks: started.hooks, ...Object.fromEntries(HOOKS.map((hook) => [hook, ask(hook)])) };
}

/** A claim, fact or attribute of a plain value. */
export function claim(name, value) {
    const isText = (text) => typeof text === "string";
    let tagged = { json: JSON.stringify(value) };
    if (isText(value)) tagged = { text: value };
    else if (typeof value === "boolean") tagged = { boolean: value };
    else if (typeof value === "number") tagged = Number.isInteger(value) ? { integer: value } : { number: value };
    else if (Array.isArray(value) && value.every(isText)) tagged = { texts: value };
    return { name, value: tagged };
}

function questionOf(hook, parts) {
    const question = structuredClone(DEFAULTS[hook]);
    const isRecord = (part) => typeof part === "object" && part !== null && !Array.isArray(part);
    for (const [name, part] of Object.entries(parts)) {
        const defaults = name === "account" ? structuredClone(ACCOUNT) : question[name];
        question[name] = isRecord(part) && isRecord(defaults) ? { ...defaults, ...part } : part;
    }
    return question;
}
