import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

import route from "./route.js";

test("sends to the upstream of the settings, where that is a way on", () => {
    const asked = start(definePolicy(route), { upstream: "corporate" });
    const answer = (attempt) => asked.route({ attempt: { upstreams: ["corporate", "partner"], ...attempt } });
    assert.equal(answer({}).redirect.upstream, "corporate");
    assert.equal(answer({ upstreams: ["partner"] }), "pass");
    assert.equal(answer({ failed: ["corporate"] }), "pass");
});
