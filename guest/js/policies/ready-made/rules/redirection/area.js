// Parts of an application with single sign-on on or off, by path.
import { decodedPath, matchers, trim, valueOf } from "@vestibule/policy";

export function readAreas(written, problems) {
    return written.map(({ name, path, application = [], sso }, index) => {
        const at = `/areas/${index}`;
        if (trim(name) === "") problems.add(`${at}/name`, "an area has a name");
        if (path.length === 0) problems.add(`${at}/path`, "an area has at least one path");
        return {
            // With single sign-on a path is meant in any case, as an application may read it.
            paths: matchers(path, `${at}/path`, problems, { ignoreCase: sso }),
            applications: matchers(application, `${at}/application`, problems),
            sso,
        };
    });
}

/** Does the first area that covers the wanted path leave the login to the application? */
export function isLeftToTheApplication(areas, { application, facts }) {
    if (areas.length === 0) return false;
    const path = wantedPath(facts);
    if (path === undefined) return false;
    const some = (fits, text) => fits.some((fit) => fit(text));
    const covers = ({ paths, applications, sso }) =>
        (applications.length === 0 || some(applications, application)) &&
        (some(paths, path) || (sso && some(paths, decodedPath(path))));
    return areas.find(covers)?.sso === false;
}

/**
 * The path that the person wanted, where it is known and plain.
 *
 * A path that could be read in two ways is in no area: single sign-on is asked for, which is the
 * side that is safe to be wrong on.
 */
function wantedPath(facts) {
    const wanted = valueOf(facts, "request.target") ?? valueOf(facts, "request.path");
    if (typeof wanted !== "string") return undefined;
    const scheme = wanted.indexOf("://");
    const local = scheme < 0 ? wanted : (wanted.slice(scheme + 3).match(/[/?#].*/s)?.[0] ?? "/");
    const path = local.split(/[?#]/)[0];
    return path.startsWith("/") && isPlain(path) ? path : undefined;
}

/** No dot segments, empty segments, parameters or control characters, plain or encoded. */
function isPlain(path) {
    if (/[\\;\x00-\x1f\x7f-\x9f]/.test(path)) return false;
    // Only what is no ASCII may be escaped.
    if (/%(?![89a-fA-F][0-9a-fA-F])/.test(path)) return false;
    const segments = path.split("/").slice(1);
    return segments.every((segment, index) => {
        const isEmpty = segment === "" && index < segments.length - 1;
        return segment !== "." && segment !== ".." && !isEmpty;
    });
}
