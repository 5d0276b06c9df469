import { definePolicy, grant, nameProblem, reason } from "@vestibule/policy";

const CODE = "default-group";

/** Lower case for the letters of ASCII: an application may know no case. */
const fold = (name) => name.trim().replace(/[A-Z]/g, (letter) => letter.toLowerCase());

export default definePolicy({
    configure(settings, problems) {
        settings.groups.forEach((group, index) => {
            const problem = nameProblem(group);
            if (problem) problems.add(`/groups/${index}`, `a group ${problem}`);
            if (settings.groups.indexOf(group) < index) problems.add(`/groups/${index}`, `\`${group}\` is there twice`);
        });
        return settings;
    },

    groups({ account, "so-far": plan }, settings) {
        const whom = settings["assign-to"];
        const entitled = whom === "all" || (whom === "new" && account === null);
        const leftAlone = plan.leave && account !== null;
        const mapped = plan.grants.some(({ because }) => because.code !== CODE);
        if (!entitled || leftAlone || (mapped && settings["when-unmapped-only"])) return plan;
        for (const group of settings.groups) {
            const excluded = plan.exclude.some((name) => fold(name) === fold(group));
            if (!excluded) grant(plan, group, reason(CODE));
        }
        return plan;
    },
});
