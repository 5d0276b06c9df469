// May this request of a live session pass?
/** @import { Definition } from "@vestibule/policy" */
import { reason } from "@vestibule/policy";

export default /** @satisfies {Definition<{ "protected-paths": string[], "max-age-s": number }, number>} */ ({
    /** Reads the settings; notes what is wrong with them. */
    configure({ "protected-paths": paths, "max-age-s": maxAge }, problems) {
        paths.forEach((path, index) => {
            if (!path.startsWith("/")) problems.add(`/protected-paths/${index}`, "a path begins with `/`");
        });
        if (maxAge === 0) problems.add("/max-age-s", "nobody can authenticate within 0 s");
        return maxAge;
    },

    access({ context, identity }, maxAge) {
        // The manifest's `access-paths-from-settings`: only requests to these paths come here.
        const then = identity["auth-time"];
        if (then !== null && context.at - then <= maxAge) return "pass";
        return { reauthenticate: { "acr-values": [], "max-age": maxAge, reason: reason("protected-path") } };
    },
});
