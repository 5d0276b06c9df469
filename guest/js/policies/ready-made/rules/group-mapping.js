import { definePolicy, Fault, log, loosest, lower, matchers, nameProblem, reason, valueOf } from "@vestibule/policy";

export default definePolicy({
    configure(settings, problems) {
        const fold = settings["fold-case"] ? lower : (name) => name;
        const rows = new Map();
        settings.manual.forEach((row, index) => {
            const at = `/manual/${index}`;
            const problem = nameProblem(row.group);
            if (problem) problems.add(`${at}/group`, `a group ${problem}`);
            if (row.from.length === 0) problems.add(`${at}/from`, "name at least one of the upstream's groups");
            row.from.forEach((from, number) => {
                if (from === "") problems.add(`${at}/from/${number}`, "a group has a name");
                rows.set(fold(from), [...(rows.get(fold(from)) ?? []), index]);
            });
        });
        const include = matchers(settings.include, "/include", problems, { ignoreCase: settings["fold-case"] });
        settings.exclude.forEach((name, index) => {
            if (name.trim() === "") problems.add(`/exclude/${index}`, "a group has a name");
        });
        const pointer = settings["groups-pointer"];
        if (pointer !== "" && !pointer.startsWith("/")) {
            problems.add("/groups-pointer", "a JSON pointer begins with `/`");
        } else if (pointer !== "" && settings["groups-claim"] === "") {
            problems.add("/groups-pointer", "points into the claim `groups-claim`, which is not named");
        }
        return { settings, fold, rows, include, exclude: settings.exclude.map(spelling) };
    },

    groups({ identity, account, "so-far": plan }, policy) {
        const { settings } = policy;
        if (!settings.enabled) return plan;
        const current = account?.groups ?? [];
        excludeFrom(plan, current, policy);
        plan["create-missing"] ||= settings["create-missing"];
        plan.leave ||= settings["disabled-for-existing"];
        const { list, none } = reported(identity, settings);
        if (none) {
            // No list takes nothing from anybody, whatever an earlier policy wanted.
            log.info(`groups claim ${none}: no group is mapped, none is taken`);
            plan.replace = false;
            return plan;
        }
        plan.replace ||= !settings["keep-existing"];
        mapManually(plan, list, policy);
        if (settings["on-the-fly"]) mapOnTheFly(plan, list, current, policy);
        return plan;
    },
});

/** Names that are excluded are compared without the blanks around them, and as loosely as any application might. */
const spelling = (name) => loosest(name.trim());

/** Excludes the configured names, and every spelling of them that the account has. */
function excludeFrom(plan, current, { settings, exclude }) {
    const spelled = current.filter((group) => exclude.includes(spelling(group)));
    for (const name of [...settings.exclude, ...spelled]) {
        if (!plan.exclude.includes(name)) plan.exclude.push(name);
    }
}

function isExcluded(group, plan, { exclude }) {
    const name = spelling(group);
    return exclude.includes(name) || plan.exclude.some((other) => spelling(other) === name);
}

/** Grants the group of every row that lists a reported group, in the order of the rows. */
function mapManually(plan, list, policy) {
    const hit = new Set(list.flatMap((name) => policy.rows.get(policy.fold(name)) ?? []));
    const granted = new Set(plan.grants.map(({ group }) => group));
    policy.settings.manual.forEach(({ group }, index) => {
        if (!hit.has(index) || granted.has(group) || isExcluded(group, plan, policy)) return;
        granted.add(group);
        plan.grants.push({ group, because: reason("mapped") });
    });
}

/** Grants what is reported under its own name, as far as the filter lets it through. */
function mapOnTheFly(plan, list, current, policy) {
    const { fold, include } = policy;
    const granted = new Set(plan.grants.map(({ group }) => fold(group)));
    for (const name of list) {
        const passes =
            !nameProblem(name) &&
            (include.length === 0 || include.some((matches) => matches(name))) &&
            !isExcluded(name, plan, policy);
        if (!passes || granted.has(fold(name))) continue;
        granted.add(fold(name));
        // The account's own spelling, or the group would be taken and given again.
        const known = policy.settings["fold-case"] && current.find((group) => fold(group) === fold(name));
        plan.grants.push({ group: known || name, because: reason("mapped-on-the-fly") });
    }
}

/** The upstream's groups: a list, or what there was in its place. */
function reported(identity, settings) {
    const claim = settings["groups-claim"];
    if (identity.groups === "overage" || identity.groups === "withheld") return { none: identity.groups };
    if (claim === "") return identity.groups === "absent" ? { none: "absent" } : { list: identity.groups.listed };
    const pointer = settings["groups-pointer"];
    const value = at(valueOf(identity.claims, claim), pointer, claim);
    if (value === undefined) return { none: "absent" };
    if (typeof value === "string") return { list: split(value, settings["groups-separator"]) };
    if (Array.isArray(value) && value.every((name) => typeof name === "string")) return { list: value };
    throw new Fault("bad-claim", claim);
}

/** What stands at an RFC 6901 pointer. A plain text or list has no places. */
function at(value, pointer, claim) {
    if (value === undefined || pointer === "") return value;
    if (typeof value !== "object" || value === null) throw new Fault("bad-claim", claim);
    let found = value;
    for (const part of pointer.slice(1).split("/")) {
        const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
        const isThere = typeof found === "object" && found !== null && Object.hasOwn(found, key);
        if (!isThere || (Array.isArray(found) && !/^(0|[1-9][0-9]*)$/.test(key))) return undefined;
        found = found[key];
    }
    return found;
}

function split(text, separator) {
    if (separator === "") return [text];
    return text.split(separator).map((name) => name.trim()).filter((name) => name !== "");
}
