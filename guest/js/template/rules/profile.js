// Who is the subject to the application?
/** @import { Definition } from "@vestibule/policy" */
import { lower, nameProblem, valueOf } from "@vestibule/policy";

export default /** @satisfies {Definition<{ "lower-case-usernames": boolean }, boolean>} */ ({
    /** Reads the settings. */
    configure: (settings, _) => settings["lower-case-usernames"],

    profile({ identity, "so-far": profile }, lowerCase) {
        // Only an address that the upstream vouches for may name an account, and a value that no header
        // could hold would break the login: better none.
        const { email } = identity;
        if (email?.verified && !nameProblem(email.address)) {
            const username = lowerCase ? lower(email.address) : email.address;
            Object.assign(profile, { "match-key": { username }, username, email: email.address });
        }
        const text = (/** @type {string} */ name) => {
            const value = valueOf(identity.claims, name);
            return typeof value === "string" && !nameProblem(value) ? value : null;
        };
        profile["given-name"] = text("given_name") ?? profile["given-name"];
        profile["family-name"] = text("family_name") ?? profile["family-name"];
        return profile;
    },
});
