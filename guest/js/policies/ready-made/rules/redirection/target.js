// Where a login goes, and what is wrong with the settings that say so.

/** The code of a refusal that names none. */
export const REFUSED = "login-refused";

/** Nobody waits longer than an hour, in seconds. */
const DELAY_MAX = 3600;

export function checkDelay(problems, at, delay) {
    if (delay > DELAY_MAX) problems.add(at, `nobody waits longer than ${DELAY_MAX} s`);
}

/** What a target says must belong to the place where it leads. */
export function checkTarget(problems, at, target) {
    const { to = "auto", upstream = null, upstreams = [], reason = null } = target;
    const acrValues = target["acr-values"] ?? [];
    if (to === "upstream" && !upstream) {
        problems.add(`${at}/upstream`, "name the upstream");
    } else if (to !== "upstream" && upstream !== null) {
        problems.add(`${at}/upstream`, 'goes with `to = "upstream"` only');
    }
    if (to !== "choose" && upstreams.length > 0) problems.add(`${at}/upstreams`, 'goes with `to = "choose"` only');
    const leaves = ["upstream", "auto", "choose"].includes(to);
    for (const [key, isThere] of [
        ["delay-s", (target["delay-s"] ?? null) !== null],
        ["acr-values", acrValues.length > 0],
        ["max-age-s", (target["max-age-s"] ?? null) !== null],
    ]) {
        if (isThere && !leaves) {
            problems.add(`${at}/${key}`, 'goes with `to = "upstream"`, `"auto"` or `"choose"` only');
        }
    }
    acrValues.forEach((acr, index) => problems.checkAcr(`${at}/acr-values/${index}`, acr));
    checkDelay(problems, `${at}/delay-s`, target["delay-s"] ?? 0);
    if (reason === null) return;
    if (to !== "refuse") {
        problems.add(`${at}/reason`, 'goes with `to = "refuse"` only');
    } else if (!/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(reason)) {
        problems.add(`${at}/reason`, "expected kebab-case, such as `contract-ended`");
    }
}
