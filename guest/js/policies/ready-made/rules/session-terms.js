import { definePolicy, nameProblem } from "@vestibule/policy";

const KEYS = ["lifetime-s", "idle-s", "remember"];

export default definePolicy({
    configure(settings, problems) {
        checkSeconds(problems, "", settings);
        const rows = settings["by-group"] ?? [];
        rows.forEach((row, index) => {
            const at = `/by-group/${index}`;
            const problem = nameProblem(row.group);
            if (problem) problems.add(`${at}/group`, `a group ${problem}`);
            if (rows.findIndex(({ group }) => group === row.group) < index) {
                problems.add(`${at}/group`, `\`${row.group}\` has two rows`);
            }
            if (KEYS.every((key) => isNone(row[key]))) {
                problems.add(at, "the row says nothing; give it `lifetime-s`, `idle-s` or `remember`");
            }
            checkSeconds(problems, at, row);
        });
        return settings;
    },

    session({ groups, "so-far": soFar }, settings) {
        const rows = (settings["by-group"] ?? []).filter(({ group }) => groups.includes(group));
        const strictest = (key) => {
            const said = rows.map((row) => row[key]).filter((value) => !isNone(value));
            // `false` is less than `true`, and the stricter of them.
            return said.length > 0 ? said.reduce((one, other) => (other < one ? other : one)) : settings[key];
        };
        const least = (key, ...others) => Math.min(strictest(key) ?? Infinity, ...others);
        const lifetime = least("lifetime-s", soFar.lifetime);
        return {
            lifetime,
            idle: least("idle-s", soFar.idle, lifetime),
            remember: (strictest("remember") ?? false) && soFar.remember,
        };
    },
});

const isNone = (value) => value === undefined || value === null;

function checkSeconds(problems, at, { "lifetime-s": lifetime, "idle-s": idle }) {
    if (lifetime === 0) problems.add(`${at}/lifetime-s`, "a session of no length lets nobody in");
    if (idle === 0) problems.add(`${at}/idle-s`, "a session of no length lets nobody in");
    if (lifetime > 0 && idle > lifetime) problems.add(`${at}/idle-s`, `is longer than the lifetime of ${lifetime} s`);
}
