import assert from "node:assert/strict";
import { test } from "node:test";

import { definePolicy } from "@vestibule/policy";
import { claim, start } from "@vestibule/policy/testing";

import profile from "./profile.js";

test("names the account by a verified address alone", () => {
    const asked = start(definePolicy(profile), { "lower-case-usernames": true });
    const answer = (verified) => asked.profile({ identity: { email: { address: "Ann@example.com", verified } } });
    assert.deepEqual(answer(true)["match-key"], { username: "ann@example.com" });
    assert.equal(answer(false)["match-key"], null);
});

test("keeps the name that is there where the upstream sends none", () => {
    const asked = start(definePolicy(profile), { "lower-case-usernames": true });
    const claims = [claim("family_name", "Ash"), claim("given_name", "An\nn")];
    const answer = asked.profile({ identity: { claims }, "so-far": { "given-name": "Anne" } });
    assert.deepEqual([answer["given-name"], answer["family-name"]], ["Anne", "Ash"]);
});
