// Which groups has the subject in the application?
/** @import { Definition } from "@vestibule/policy" */
import { grant, nameProblem, reason } from "@vestibule/policy";

export default /** @satisfies {Definition<{ "default-groups": string[] }, string[]>} */ ({
    /** Reads the settings; notes what is wrong with them. */
    configure({ "default-groups": groups }, problems) {
        groups.forEach((group, index) => {
            const problem = nameProblem(group);
            if (problem) problems.add(`/default-groups/${index}`, `a group ${problem}`);
        });
        return groups;
    },

    groups({ "so-far": plan }, groups) {
        // What earlier policies of the chain granted stays in the plan.
        for (const group of groups) grant(plan, group, reason("default"));
        return plan;
    },
});
