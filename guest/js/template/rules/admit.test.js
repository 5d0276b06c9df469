import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { start } from "@vestibule/policy/testing";

import admit from "./admit.js";

const asked = start(definePolicy(admit), { "allowed-domains": "example.com" });
const answer = (address, verified = true) => asked.admit({ identity: { email: { address, verified } } });

test("lets in a verified address of an allowed domain", () => {
    assert.deepEqual(answer("ann@Example.com"), { allow: { code: "domain-allowed", detail: "example.com" } });
});

test("denies everybody else, each for a reason of their own", () => {
    assert.equal(answer("ann@example.org").deny.code, "domain-not-allowed");
    assert.equal(answer("ann@example.com", false).deny.code, "email-not-verified");
    assert.equal(answer("ann@example.org@example.com").deny.code, "invalid-email");
    assert.equal(asked.admit().deny.code, "email-missing");
});
