import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

import logout from "./logout.js";

test("leads where the person wanted to go, where that is a target at all", () => {
    const asked = start(definePolicy(logout), { "logout-at-upstream": true });
    const target = "https://app.example/bye";
    assert.deepEqual(asked.logout({ requested: target }), { "at-upstream": true, target });
    assert.equal(asked.logout({ requested: "https://app.example/\r\n" }).target, null);
    assert.equal(asked.logout().target, null);
});
