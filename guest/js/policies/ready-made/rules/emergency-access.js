import { allow, definePolicy, deny, nameProblem } from "@vestibule/policy";

export default definePolicy({
    configure(settings, problems) {
        const { enabled = true, groups = [], "any-local-account": anyLocal = false } = settings;
        groups.forEach((group, index) => {
            const problem = nameProblem(group);
            if (problem) problems.add(`/groups/${index}`, `a group ${problem}`);
        });
        if (enabled && groups.length === 0 && !anyLocal) {
            problems.add("/groups", "nobody could come in; name a group, set `any-local-account` or say `enabled = false`");
        }
        if (anyLocal && groups.length > 0) {
            problems.add("/any-local-account", "lets everybody in, so `groups` would not matter; take one of them out");
        }
        return { enabled, groups, anyLocal };
    },

    admit({ identity, account }, { enabled, groups, anyLocal }) {
        if (!enabled) return deny("emergency-access-off");
        if (identity.protocol !== "local") return deny("not-a-local-account");
        if (account && !account.active) return deny("account-inactive");
        if (anyLocal) return allow("local-account");
        const has = [...(identity.groups.listed ?? []), ...(account?.groups ?? [])];
        const emergency = groups.find((group) => has.includes(group));
        return emergency === undefined ? deny("not-in-emergency-group") : allow("emergency-group", emergency);
    },
});
