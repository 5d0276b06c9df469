import { definePolicy, domain, matchers, normalizeDomain, reason, trim } from "@vestibule/policy";

import { isLeftToTheApplication, readAreas } from "./redirection/area.js";
import { checkDelay, checkTarget, REFUSED } from "./redirection/target.js";

const DEFAULTS = {
    enabled: true,
    rules: [],
    default: {},
    "ask-identifier": "when-needed",
    identifier: "email",
    "auto-redirect": true,
    "delay-s": 0,
    "forward-login-hint": true,
    "prefer-previous": false,
    areas: [],
};

export default definePolicy({
    configure(written, problems) {
        const settings = { ...DEFAULTS, ...written };
        checkDelay(problems, "/delay-s", settings["delay-s"]);
        const rules = readRules(settings.rules, problems);
        checkTarget(problems, "/default", settings.default);
        return { settings, rules, areas: readAreas(settings.areas, problems) };
    },

    route({ attempt }, { settings, rules, areas }) {
        if (!settings.enabled) return "pass";
        if (isLeftToTheApplication(areas, attempt.context)) return "application-form";
        const text = trim(attempt.identifier ?? "");
        const asks = settings["ask-identifier"] !== "never";
        if (text === "" && settings["ask-identifier"] === "always") return "ask-identifier";
        const typed = text === "" ? undefined : read(text, settings.identifier);
        // The form says what is wrong: the gateway knows that something was typed.
        if (text !== "" && !typed && asks) return "ask-identifier";
        for (const rule of rules) {
            if (!fits(rule.application, attempt.context.application)) continue;
            const needsIdentifier = rule.domain.length > 0 || rule.identifier.length > 0;
            if (!typed && needsIdentifier && asks) return "ask-identifier";
            if (!typed && needsIdentifier) continue;
            if (!typed || (fits(rule.domain, typed.domain) && fits(rule.identifier, typed.lower))) {
                return new Way(attempt, settings, typed?.text).to(rule.target, `rule "${rule.name}"`);
            }
        }
        return new Way(attempt, settings, typed?.text).to(settings.default, "default");
    },
});

/** No pattern is no condition; nothing at all fits none. */
const fits = (patterns, text) => patterns.length === 0 || (text !== undefined && patterns.some((fit) => fit(text)));

/** What was typed; undefined where it is neither a well-formed address nor, where those are welcome, a username. */
function read(text, welcome) {
    const typed = { text, lower: text.toLowerCase(), domain: domain(text).domain };
    const isUsername = welcome === "any" && !/[@\x00-\x1f\x7f-\x9f]/.test(text);
    return typed.domain !== undefined || isUsername ? typed : undefined;
}

function readRules(written, problems) {
    return written.map(({ name, target, ...conditions }, index) => {
        const at = `/rules/${index}`;
        if (trim(name) === "") {
            problems.add(`${at}/name`, "a rule has a name: the audit tells it by that");
        } else if (written.findIndex((rule) => rule.name === name) < index) {
            problems.add(`${at}/name`, `two rules are named \`${name}\``);
        }
        const { "email-domain": domains = [], identifier = [], application = [] } = conditions;
        if (domains.length + identifier.length + application.length === 0) {
            problems.add(at, "a rule without a condition always matches; make it the `default`");
        }
        checkTarget(problems, `${at}/target`, target);
        return {
            name,
            target,
            domain: domainMatchers(domains, `${at}/email-domain`, problems),
            identifier: matchers(identifier, `${at}/identifier`, problems, { ignoreCase: true }),
            application: matchers(application, `${at}/application`, problems),
        };
    });
}

/** Patterns of domains, which come as A-labels in lower case. */
function domainMatchers(patterns, at, problems) {
    const others = matchers(
        patterns.map((pattern) => ("exact" in pattern || "suffix" in pattern ? { glob: "*" } : pattern)),
        at,
        problems,
        { ignoreCase: true },
    );
    return patterns.map((pattern, index) => {
        const [[kind, text]] = Object.entries(pattern);
        if (kind !== "exact" && kind !== "suffix") return others[index];
        const isBelow = kind === "suffix" && text.startsWith(".");
        const name = normalizeDomain(isBelow ? text.slice(1) : text);
        if (name === undefined) problems.add(`${at}/${index}/${kind}`, `\`${text}\` is no domain`);
        // `evila.com` is not under `a.com`: a suffix ends at a label.
        const isUnder = (other) => kind === "suffix" && other.endsWith(`.${name}`);
        return (other) => (other === name && !isBelow) || isUnder(other);
    });
}

/** From an attempt, with what was typed, to a direction. */
class Way {
    constructor(attempt, settings, typed) {
        Object.assign(this, { attempt, settings, typed });
    }

    /** The direction to `target`, on account of `by`. */
    to(target, by) {
        const { upstreams } = this.attempt;
        const refuse = (detail) => ({ refuse: reason("upstream-not-open", detail) });
        switch (target.to ?? "auto") {
            case "upstream":
                if (!upstreams.includes(target.upstream)) return refuse(`${by}: \`${target.upstream}\``);
                return this.leave(target, target.upstream);
            case "choose": {
                const named = target.upstreams ?? [];
                const open = named.length > 0 ? named.filter((id) => upstreams.includes(id)) : upstreams;
                return named.length > 0 && open.length === 0 ? refuse(by) : this.offer(target, open);
            }
            case "refuse":
                return { refuse: reason(target.reason ?? REFUSED, by) };
            case "auto":
                return upstreams.length === 0 ? refuse("the application has no upstream") : this.auto(target);
            default:
                return target.to;
        }
    }

    auto(target) {
        const { upstreams, previous } = this.attempt;
        if (upstreams.length === 1) return this.leave(target, upstreams[0]);
        const isPreferred = this.settings["prefer-previous"] && upstreams.includes(previous);
        return isPreferred ? this.leave(target, previous) : this.offer(target, upstreams);
    }

    /** To an upstream: at once, or through a page with a button. */
    leave(target, upstream) {
        // After a failure a person decides, or the browser would run in circles.
        const hasFailed = this.attempt.failed.includes(upstream);
        if (hasFailed || (!this.settings["auto-redirect"] && this.typed === undefined)) {
            return this.offer(target, [upstream]);
        }
        return { redirect: this.redirect(target, upstream) };
    }

    /** A page with a button for each. */
    offer(target, upstreams) {
        return { choose: upstreams.map((upstream) => this.redirect(target, upstream)) };
    }

    redirect(target, upstream) {
        return {
            upstream,
            delay: target["delay-s"] ?? this.settings["delay-s"],
            "login-hint": this.settings["forward-login-hint"] ? (this.typed ?? null) : null,
            "acr-values": target["acr-values"] ?? [],
            "max-age": target["max-age-s"] ?? null,
        };
    }
}
