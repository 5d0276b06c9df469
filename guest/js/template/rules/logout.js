// Where does a logout end?
/** @import { Definition } from "@vestibule/policy" */
import { nameProblem } from "@vestibule/policy";

export default /** @satisfies {Definition<{ "logout-at-upstream": boolean }, boolean>} */ ({
    /** Reads the settings. */
    configure: (settings, _) => settings["logout-at-upstream"],

    logout({ requested }, atUpstream) {
        // The host follows only targets that the configuration allows; one that no header could hold
        // would be an error.
        const target = requested !== null && !nameProblem(requested) ? requested : null;
        return { "at-upstream": atUpstream, target };
    },
});
