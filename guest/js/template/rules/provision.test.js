import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

import provision from "./provision.js";

test("creates no account without the group", () => {
    const asked = start(definePolicy(provision), { "creation-needs-group": "staff" });
    const answer = (group) => asked.provision({ granted: [{ group, because: "mapped" }] });
    assert.equal(answer("staff")["refuse-creation"], null);
    assert.equal(answer("guests")["refuse-creation"].code, "group-needed");
});
