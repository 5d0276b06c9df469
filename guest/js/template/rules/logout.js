// Where does a logout end?
import { nameProblem } from "@vestibule/policy";

export default {
    /** Reads the settings. */
    configure: (settings) => settings["logout-at-upstream"],

    logout({ requested }, atUpstream) {
        // The host follows only targets that the configuration allows; one that no header could hold
        // would be an error.
        const target = requested !== null && !nameProblem(requested) ? requested : null;
        return { "at-upstream": atUpstream, target };
    },
};
