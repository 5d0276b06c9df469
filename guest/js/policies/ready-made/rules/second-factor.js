import { definePolicy, domain, Domains, nameProblem, reason, stepUp } from "@vestibule/policy";

/** The gateway's own second factor (`wit/README.md`), and the one by a passkey alone. */
const SECOND_FACTOR = "urn:vestibule:second-factor";
const PHISHING_RESISTANT = "urn:vestibule:second-factor:phishing-resistant";

/** The way here takes its time: fewer seconds count as this many. */
const MAX_AGE_MIN_S = 30;

export default definePolicy({
    configure(settings, problems) {
        const { always = false, domains: list = "", groups = [], "unless-amr": unlessAmr = [] } = settings;
        const domains = new Domains(list, (message) => problems.add("/domains", message));
        const isBlank = list.trim() === "";
        if (problems.list.length === 0 && domains.isEmpty && !isBlank) {
            problems.add("/domains", "the list names no domain");
        }
        const names = [["groups", "a group", groups], ["unless-amr", "a method", unlessAmr]];
        for (const [key, what, all] of names) {
            all.forEach((name, index) => {
                const problem = nameProblem(name);
                if (problem) problems.add(`/${key}/${index}`, `${what} ${problem}`);
            });
        }
        const maxAge = settings["max-age-s"] ?? null;
        if (maxAge === 0) problems.add("/max-age-s", "nobody can authenticate within 0 s");
        if (!always && isBlank && groups.length === 0) {
            problems.add("/always", "say whose login wants it: `always`, `domains` or `groups`");
        }
        return { always, domains, groups, unlessAmr, maxAge, byPasskey: settings["phishing-resistant"] ?? false };
    },

    admit({ context, identity, account }, policy) {
        const concerns = policy.always || isOfDomain(identity, policy) || isMember(identity, account, policy);
        if (!concerns) return "pass";
        const hasPasskey = identity.acr === PHISHING_RESISTANT;
        const hasAny = hasPasskey || identity.acr === SECOND_FACTOR;
        // What the upstream asked for counts as long as its word does.
        if (!hasAny && identity.amr.some((method) => policy.unlessAmr.includes(method))) return "pass";
        let code;
        if (policy.byPasskey && !hasPasskey) code = "passkey-required";
        else if (!hasAny) code = "second-factor-required";
        else if (isTooOld(context, identity, policy)) code = "second-factor-too-old";
        else return "pass";
        return stepUp([policy.byPasskey ? PHISHING_RESISTANT : SECOND_FACTOR], reason(code), policy.maxAge);
    },
});

function isOfDomain({ email }, { domains }) {
    if (domains.isEmpty) return false;
    // Whoever chooses their own address does not choose their way around this.
    if (!email?.verified) return true;
    const { domain: name } = domain(email.address);
    return name === undefined || domains.has(name);
}

function isMember({ groups: reported }, account, { groups }) {
    if (reported === "overage" && groups.length > 0) return true;
    return [...(reported.listed ?? []), ...(account?.groups ?? [])].some((group) => groups.includes(group));
}

/** A time that is missing or lies in the future proves nothing. */
function isTooOld({ at }, { "auth-time": authTime }, { maxAge }) {
    if (maxAge === null) return false;
    return authTime === null || authTime > at || at - authTime > Math.max(maxAge, MAX_AGE_MIN_S);
}
