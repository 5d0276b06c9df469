import { decodedPath, definePolicy, deny, foldCase, glob, nameProblem, reason } from "@vestibule/policy";

/** Whoever has the second has the first (`wit/README.md`). */
const SECOND_FACTOR = "urn:vestibule:second-factor";
const PHISHING_RESISTANT = "urn:vestibule:second-factor:phishing-resistant";

export default definePolicy({
    configure(settings, problems) {
        const { "acr-values": acrValues = [], "max-age-s": maxAge = 600, restricted: rows = [] } = settings;
        const paths = (list, at) => compile(list, at, problems);
        const admin = paths(settings["admin-paths"] ?? [], "/admin-paths");
        if (maxAge === 0) problems.add("/max-age-s", "nobody can authenticate within 0 s");
        acrValues.forEach((acr, index) => problems.checkAcr(`/acr-values/${index}`, acr));
        const hidden = paths(settings["hidden-paths"] ?? [], "/hidden-paths");
        const restricted = rows.map((row, index) => {
            const at = `/restricted/${index}`;
            if (row.paths.length === 0) problems.add(`${at}/paths`, "name at least one path");
            if (row.groups.length === 0) {
                problems.add(`${at}/groups`, "name at least one group; for nobody there is `hidden-paths`");
            }
            row.groups.forEach((group, number) => {
                const problem = nameProblem(group);
                if (problem) problems.add(`${at}/groups/${number}`, `a group ${problem}`);
            });
            return { paths: paths(row.paths, `${at}/paths`), members: row.groups };
        });
        return { admin, maxAge, acrValues, hidden, restricted };
    },

    access({ context, identity, groups, request }, { admin, maxAge, acrValues, hidden, restricted }) {
        const read = readings(request.path).map(foldCase);
        if (covers(hidden, read)) return deny("path-hidden");
        for (const { paths, members } of restricted) {
            if (covers(paths, read) && !members.some((group) => groups.includes(group))) {
                return deny("group-required", members.join(" or "));
            }
        }
        if (!covers(admin, read)) return "pass";
        let code;
        if (!isStrong(identity, acrValues)) code = "authentication-not-strong";
        else if (!isFresh(context, identity, maxAge)) code = "authentication-not-recent";
        else return "pass";
        return { reauthenticate: { "acr-values": acrValues, "max-age": maxAge, reason: reason(code) } };
    },
});

/** Patterns of paths, ready to match. What is wrong with them is noted under `at`. */
function compile(patterns, at, problems) {
    return patterns.flatMap((pattern, index) => {
        const wrong = fault(pattern);
        if (wrong) problems.add(`${at}/${index}`, wrong);
        // `/admin/*` covers `/admin` itself.
        const folder = pattern.replace(/\/\*\*?$/, "");
        return [pattern, folder].filter((text) => text !== "").map(foldCase);
    });
}

const covers = (patterns, paths) => patterns.some((pattern) => paths.some((path) => glob(pattern, path)));

/** Why a pattern could never cover what it seems to. */
function fault(pattern) {
    if (!pattern.startsWith("/")) return "a path pattern begins with `/`";
    if (/[#;%\\\x00-\x1f\x7f-\x9f]/.test(pattern)) {
        return "write the path plainly: without parameters, escapes, backslashes and `#`";
    }
    if (pattern.includes("?")) return "a path has no query; `?` stands for nothing here, take `*`";
    const hasOddSegment = pattern.split("/").some((segment) => segment === "." || segment === "..");
    return hasOddSegment || pattern.includes("//") ? "write the path without empty segments, `.` and `..`" : undefined;
}

/**
 * The ways in which applications may read `path`: some cut off `;x=y`, some the slash at the end. A
 * path is covered where any reading of it is; to be wrong here costs somebody a login too many.
 */
function readings(escaped) {
    const path = decodedPath(escaped);
    const all = [path];
    if (path.includes(";")) all.push(path.split("/").map((segment) => segment.split(";")[0]).join("/"));
    // Of each: an application that cuts off `;x` of `/admin;x/` may do without the slash, too.
    return [...all, ...all.filter((one) => one.endsWith("/")).map((one) => one.replace(/\/+$/, ""))];
}

function isStrong({ acr }, acrValues) {
    const isWanted = acrValues.includes(acr) || (acr === PHISHING_RESISTANT && acrValues.includes(SECOND_FACTOR));
    return acrValues.length === 0 || isWanted;
}

/** A time that is missing or lies in the future proves nothing. */
function isFresh({ at }, { "auth-time": authTime }, maxAge) {
    return authTime !== null && authTime <= at && at - authTime <= maxAge;
}
