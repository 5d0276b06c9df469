import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

import session from "./session.js";

test("shortens a session, and never makes one longer", () => {
    const asked = start(definePolicy(session), { "lifetime-s": 3600 });
    const answer = (lifetime, idle) => asked.session({ "so-far": { lifetime, idle } });
    assert.deepEqual(answer(28800, 7200), { lifetime: 3600, idle: 3600, remember: true });
    assert.deepEqual(answer(600, 300), { lifetime: 600, idle: 300, remember: true });
});
