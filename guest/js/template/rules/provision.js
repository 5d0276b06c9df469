// May an account be created, updated, reactivated?
/** @import { Definition } from "@vestibule/policy" */
import { nameProblem, reason } from "@vestibule/policy";

export default /** @satisfies {Definition<{ "creation-needs-group": string }, string>} */ ({
    /** Reads the settings; notes what is wrong with them. */
    configure({ "creation-needs-group": needed }, problems) {
        const problem = needed !== "" && nameProblem(needed);
        if (problem) problems.add("/creation-needs-group", `a group ${problem}`);
        return needed;
    },

    provision({ granted }, needed) {
        const mayCreate = needed === "" || granted.some(({ group }) => group === needed);
        return {
            "refuse-creation": mayCreate ? null : reason("group-needed", needed),
            "update-attributes": "every-login",
            reactivate: false,
        };
    },
});
