// The SDK and the ready-made policies, without a component: npm test
import assert from "node:assert/strict";
import { test } from "node:test";

import {
    allow, chooseBy, definePolicy, domain, Fault, glob, isAttribute, isReserved, matchers, nameProblem, Problems, setLog,
    trim, valueOf,
} from "@vestibule/policy";
import { claim, SettingsError, start } from "@vestibule/policy/testing";

import attributeMapping from "../policies/ready-made/rules/attribute-mapping.js";
import defaultGroups from "../policies/ready-made/rules/default-groups.js";
import domainRestriction from "../policies/ready-made/rules/domain-restriction.js";

const inGroup = definePolicy({
    configure({ group }, problems) {
        if (!group) problems.add("/group", "name a group");
        return group;
    },
    admit({ identity: { groups } }, group) {
        if (groups === "overage") throw new Fault("missing-claim", "groups");
        if (groups === "absent") return { alow: {} };
        if (groups === "withheld") return groups.listed.includes(group);
        return groups.listed.length > 1 ? Promise.resolve("pass") : allow("in-group", group);
    },
});

test("answers what it returns", () => {
    const asked = start(inGroup, { group: "staff" });
    assert.deepEqual(asked.hooks, ["admit"]);
    const answer = asked.admit({ identity: { groups: { listed: ["staff"] } } });
    assert.deepEqual(answer, { allow: { code: "in-group", detail: "staff" } });
});

test("tells all that is wrong with settings", () => {
    assert.throws(() => start(inGroup), (error) => error instanceof SettingsError && error.problems[0].path === "/group");
});

test("a fault, an exception, a promise and a wrong answer are each told", () => {
    const lines = [];
    setLog((level, message) => lines.push([level, message]));
    const asked = start(inGroup, { group: "staff" });
    const cases = [
        ["overage", "missing-claim", "groups"],
        ["absent", "internal", "`/ok`"],
        ["withheld", "internal", "TypeError"],
        [{ listed: ["a", "b"] }, "internal", "promise"],
    ];
    for (const [groups, kind, words] of cases) {
        const isIt = (error) => error instanceof Fault && error.kind === kind && error.detail.includes(words);
        assert.throws(() => asked.admit({ identity: { groups } }), isIt, JSON.stringify(groups));
    }
    assert.deepEqual(lines.map(([level]) => level), ["warn"]);
    assert.match(lines[0][1], /policy\.test\.js/);
});

test("refuses a question that is none, and a policy that is none", () => {
    const asked = start(inGroup, { group: "staff" });
    assert.throws(() => asked.admit({ identity: { groups: ["staff"] } }), /\/identity\/groups/);
    assert.throws(() => definePolicy({}), /decides no hook/);
    assert.throws(() => definePolicy({ admitt() {} }), /`admitt` is no hook/);
});

test("one component can hold several", () => {
    const both = chooseBy("rule", { a: inGroup, b: defaultGroups });
    assert.deepEqual(start(both, { rule: "a", group: "g" }).hooks, ["admit"]);
    assert.throws(() => start(both, { rule: "c" }), /expected one of a, b/);
});

test("reads claims as plain values", () => {
    const values = ["t", ["a", "b"], 7, 0.5, true, { b: [1, null], a: 1 }];
    const claims = values.map((value, index) => claim(`c${index}`, value));
    assert.deepEqual(values.map((_, index) => valueOf(claims, `c${index}`)), values);
    assert.equal(valueOf(claims, "c9"), undefined);
});

test("a27 a34 reads an address in one way only", () => {
    const odd = ["a@b@c.com", "@c.com", "a", "a@", "a@c.com.", "a@c..com", "a b@c.com", "a@c\u3002com", "\u202ea@c.com", "a@\u212ab.com"];
    for (const address of odd) assert.equal(domain(address).reason?.code, "invalid-email", address);
    assert.equal(domain("a@BÜCHER.example").domain, "xn--bcher-kva.example");
    assert.equal(domain("a@пример.рф").domain, "xn--e1afmkfd.xn--p1ai");
    assert.equal(domain("A.b+c@C.com").domain, "c.com");
});

test("names and globs", () => {
    for (const name of ["", " ", "a ", "\u00a0a", "a\nb", "a\u202eb", "a".repeat(1025)]) assert.ok(nameProblem(name), name);
    assert.equal(nameProblem("Zoë"), undefined);
    const cases = [["a*c", "abbc", true], ["a*c", "abbd", false], ["*", "", true], ["?", "", false], ["*a*b", "xaxbxb", true]];
    for (const [pattern, text, fits] of cases) assert.equal(glob(pattern, text), fits, `${pattern} ${text}`);
    assert.equal(glob(`${"*a".repeat(30)}b`, "a".repeat(2000)), false);
});

test("names of attributes, and the gateway's own", () => {
    for (const name of ["sub", "SUB", "email_verified", "Set-Cookie", "x_forwarded_user", "Remote-User"]) {
        assert.ok(isReserved(name), name);
    }
    for (const name of ["department", "subject", "forward", "mail"]) assert.ok(!isReserved(name), name);
    assert.ok(isAttribute("urn:oid:2.5.4.3") && !isAttribute("a b") && !isAttribute("") && !isAttribute("a\n"));
    assert.equal(trim("\u0085\u00a0 a b \u3000"), "a b");
    assert.equal(trim("\ufeffa"), "\ufeffa", "no blank, though `String.trim` takes it off");
});

test("a12 patterns match the whole text, and are refused where they are none", () => {
    const problems = new Problems();
    const patterns = [{ exact: "Dev" }, { suffix: "-Admins" }, { glob: "A*" }, { regex: "a\\.com|b\\.org" }];
    const fits = (text, options) => matchers(patterns, "/p", problems, options).map((fit) => fit(text));
    assert.deepEqual(fits("Dev"), [true, false, false, false]);
    assert.deepEqual(fits("dev"), [false, false, false, false]);
    assert.deepEqual(fits("dev", { ignoreCase: true }), [true, false, false, false]);
    assert.deepEqual(fits("a-admins", { ignoreCase: true }), [false, true, true, false]);
    for (const text of ["a.com.evil.io", "xb.org", "a.com\n"]) assert.equal(fits(text)[3], false, text);
    assert.equal(fits("B.ORG", { ignoreCase: true })[3], true);
    assert.deepEqual(problems.list, []);
    for (const pattern of [{ exact: "" }, { regex: "(" }, { regex: "a)|(b" }]) {
        assert.equal(matchers([pattern], "/p", problems)[0]("a"), false);
    }
    assert.deepEqual(problems.list.map(({ path }) => path), ["/p/0/exact", "/p/0/regex", "/p/0/regex"]);
});

test("a28 an unverified address finds no account whatever claim it hides in", () => {
    const victim = "victim@corp.com";
    for (const spelling of [victim, "VICTIM@corp.com", " victim@corp.com\n"]) {
        for (const name of ["email", "upn", "preferred_username"]) {
            for (const by of ["username", "email"]) {
                const asked = start(attributeMapping, { "match-by": by, "match-claim": name });
                const claims = name === "email" ? [] : [claim(name, spelling)];
                const profile = asked.profile({ identity: { email: { address: victim, verified: false }, claims } });
                assert.equal(profile["match-key"], null, `${name} ${by} ${JSON.stringify(spelling)}`);
                assert.equal(profile.username, null, `${name} ${by} ${JSON.stringify(spelling)}`);
            }
        }
    }
});

test("the ready-made policies decide without a component", () => {
    const asked = start(domainRestriction, { "allowed-domains": "a.com; .b.org" });
    const verdict = asked.admit({ identity: { email: { address: "u@x.b.org", verified: true } } });
    assert.deepEqual(verdict, { allow: { code: "domain-allowed", detail: "x.b.org" } });
});
