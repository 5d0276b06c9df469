// The rules that are compared, as one policy: whose domain may enter, which group of the upstream stands for which of the
// application, and a group for those who have none.
import { allow, definePolicy, deny, domain, listed, reason } from "@vestibule/policy";

export default definePolicy({
    configure({ domains, rows, default: fallback }) {
        const groups = new Map();
        for (const { from, group } of rows) {
            const known = groups.get(from);
            if (known) known.push(group);
            else groups.set(from, [group]);
        }
        return { domains, groups, fallback };
    },

    admit({ identity: { email } }, { domains }) {
        const name = email?.verified ? domain(email.address).domain : undefined;
        const isIn = name !== undefined && domains.some((allowed) => name === allowed || name.endsWith(`.${allowed}`));
        return isIn ? allow("domain") : deny("domain");
    },

    groups({ identity, "so-far": plan }, { groups, fallback }) {
        for (const name of listed(identity) ?? []) {
            for (const group of groups.get(name) ?? []) plan.grants.push({ group, because: reason("mapped") });
        }
        if (plan.grants.length === 0) plan.grants.push({ group: fallback, because: reason("default") });
        return plan;
    },
});
