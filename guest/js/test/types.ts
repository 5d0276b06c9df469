// Not run: `npm run types` holds the declarations to how policies are written.
import { allow, definePolicy, deny, grant, listed, matchers, reason, type AdmitAnswer, type Policy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

interface Settings {
    group: string;
}

const policy: Policy = definePolicy({
    configure(settings: Settings, problems) {
        problems.checkName("/group", "a group", settings.group);
        matchers([{ suffix: "-x" }], "/p", problems, { ignoreCase: true }) satisfies ((text: string) => boolean)[];
        return new Set([settings.group]);
    },
    admit({ identity, account }, groups) {
        const names: string[] = [...(listed(identity) ?? []), ...(account?.groups ?? [])];
        const time: number | null = identity["auth-time"];
        return names.some((name) => groups.has(name)) && time !== 0 ? allow("in-group") : deny("not-in-group");
    },
    groups({ "so-far": plan }) {
        grant(plan, "users", reason("default"));
        return plan;
    },
});

const answer: AdmitAnswer = start(policy, { group: "a" }).admit({ identity: { groups: { listed: ["a"] } } });
if (answer !== "pass" && "allow" in answer) answer.allow.code satisfies string;

definePolicy({
    // @ts-expect-error: no such case
    admit: () => ({ alow: { code: "a", detail: "" } }),
});
definePolicy({
    // @ts-expect-error: a detail is missing
    admit: () => ({ deny: { code: "a" } }),
});
