import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

import access from "./access.js";

test("asks who authenticated too long ago to do so again", () => {
    const asked = start(definePolicy(access), { "protected-paths": ["/admin/*"], "max-age-s": 600 });
    const answer = (then) => asked.access({ context: { at: 1700000000 }, identity: { "auth-time": then } });
    assert.equal(answer(1699999400), "pass");
    assert.equal(answer(1699999399).reauthenticate["max-age"], 600);
    assert.equal(answer(null).reauthenticate.reason.code, "protected-path");
});
