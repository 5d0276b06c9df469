import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

import groups from "./groups.js";

test("adds the default groups to what is granted already", () => {
    const asked = start(definePolicy(groups), { "default-groups": ["users"] });
    const grants = [{ group: "developers", because: { code: "mapped", detail: "" } }];
    const plan = asked.groups({ "so-far": { grants } });
    assert.deepEqual(plan.grants.map(({ group }) => group), ["developers", "users"]);
});
