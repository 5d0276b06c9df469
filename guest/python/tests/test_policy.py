"""The SDK and the ready-made policies, without a component: python3 -m unittest discover -s tests"""

import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "policies/ready_made")]

from rules.attribute_mapping import AttributeMapping  # noqa: E402
from rules.default_groups import DefaultGroups  # noqa: E402
from rules.domain_restriction import DomainRestriction  # noqa: E402
from vestibule_policy import (  # noqa: E402
    Fault, Problems, allow, choose_by, domain, glob, is_attribute, is_reserved, log, matchers, name_problem, policy, trim,
    value_of,
)
from vestibule_policy.testing import SettingsError, claim, start  # noqa: E402


@policy
class InGroup:
    def configure(self, settings, problems):
        self.group = settings.get("group")
        if not self.group:
            problems.add("/group", "name a group")

    def admit(self, identity, **_):
        if identity["groups"] == "overage":
            raise Fault("missing-claim", "groups")
        if identity["groups"] == "absent":
            return {"alow": {}}
        if identity["groups"] == "withheld":
            raise KeyError("groups")
        return allow("in-group", self.group)


class Policies(unittest.TestCase):
    def test_answers_what_it_returns(self):
        asked = start(InGroup, {"group": "staff"})
        self.assertEqual(asked.hooks, ["admit"])
        answer = asked.admit(identity={"groups": {"listed": ["staff"]}})
        self.assertEqual(answer, {"allow": {"code": "in-group", "detail": "staff"}})

    def test_tells_all_that_is_wrong_with_settings(self):
        with self.assertRaises(SettingsError) as caught:
            start(InGroup, {})
        self.assertEqual(caught.exception.problems, [{"path": "/group", "message": "name a group"}])

    def test_a_fault_an_exception_and_a_wrong_answer_are_each_told(self):
        asked, lines = start(InGroup, {"group": "staff"}), []
        log.sink = lambda level, message: lines.append((level, message))
        for groups, kind, words in (
            ("overage", "missing-claim", "groups"),
            ("absent", "internal", "/ok"),
            ("withheld", "internal", "KeyError"),
        ):
            with self.assertRaises(Fault) as caught:
                asked.admit(identity={"groups": groups})
            self.assertEqual(caught.exception.kind, kind)
            self.assertIn(words, caught.exception.detail)
        self.assertEqual([level for level, _ in lines], ["warn"])
        self.assertIn("test_policy.py", lines[0][1])

    def test_refuses_a_question_that_is_none(self):
        with self.assertRaisesRegex(ValueError, "/identity/groups"):
            start(InGroup, {"group": "staff"}).admit(identity={"groups": ["staff"]})

    def test_a_class_without_a_hook_is_no_policy(self):
        with self.assertRaisesRegex(TypeError, "decides no hook"):
            policy(type("Nothing", (), {}))

    def test_one_component_can_hold_several(self):
        both = choose_by("rule", {"a": InGroup, "b": DefaultGroups})
        self.assertEqual(start(both, {"rule": "a", "group": "g"}).hooks, ["admit"])
        with self.assertRaisesRegex(SettingsError, "expected one of a, b"):
            start(both, {"rule": "c"})

    def test_reads_claims_as_plain_values(self):
        values = ["t", ["a", "b"], 7, 0.5, True, {"b": [1, None], "a": 1}]
        claims = [claim(f"c{index}", value) for index, value in enumerate(values)]
        self.assertEqual([value_of(claims, f"c{index}") for index in range(len(values))], values)
        self.assertIsNone(value_of(claims, "c9"))


class Parts(unittest.TestCase):
    def test_a27_a34_reads_an_address_in_one_way_only(self):
        for address in ("a@b@c.com", "@c.com", "a", "a@", "a@c.com.", "a@c..com", "a b@c.com", "a@c\u3002com", "\u202ea@c.com", "a@\u212ab.com"):
            self.assertEqual(domain(address)[1]["code"], "invalid-email", address)
        for address, name in (("a@B\u00dcCHER.example", "xn--bcher-kva.example"), ("a@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "xn--e1afmkfd.xn--p1ai"), ("A.b+c@C.com", "c.com")):
            self.assertEqual(domain(address), (name, None))

    def test_names_and_globs(self):
        for name in ("", " ", "a ", "\xa0a", "a\nb", "a\u202eb", "a" * 1025):
            self.assertIsNotNone(name_problem(name), name)
        self.assertIsNone(name_problem("Zo\xeb"))
        for pattern, text, fits in (("a*c", "abbc", True), ("a*c", "abbd", False), ("*", "", True), ("?", "", False), ("*a*b", "xaxbxb", True)):
            self.assertEqual(glob(pattern, text), fits, (pattern, text))
        self.assertFalse(glob("*a" * 30 + "b", "a" * 2000))

    def test_names_of_attributes_and_the_gateways_own(self):
        for name in ("sub", "SUB", "email_verified", "Set-Cookie", "x_forwarded_user", "Remote-User"):
            self.assertTrue(is_reserved(name), name)
        for name in ("department", "subject", "forward", "mail"):
            self.assertFalse(is_reserved(name), name)
        self.assertTrue(is_attribute("urn:oid:2.5.4.3"))
        for name in ("a b", "", "a\n", "é"):
            self.assertFalse(is_attribute(name), name)
        self.assertEqual(trim("\x85\xa0 a b \u3000"), "a b")
        self.assertEqual(trim("\x1ca"), "\x1ca", "no blank, though `str.strip` takes it off")

    def test_a12_patterns_match_the_whole_text_and_are_refused_where_they_are_none(self):
        problems = Problems()
        patterns = [{"exact": "Dev"}, {"suffix": "-Admins"}, {"glob": "A*"}, {"regex": r"a\.com|b\.org"}]

        def fits(text, ignore_case=False):
            return [fit(text) for fit in matchers(patterns, "/p", problems, ignore_case)]

        self.assertEqual(fits("Dev"), [True, False, False, False])
        self.assertEqual(fits("dev"), [False, False, False, False])
        self.assertEqual(fits("dev", True), [True, False, False, False])
        self.assertEqual(fits("a-admins", True), [False, True, True, False])
        for text in ("a.com.evil.io", "xb.org", "a.com\n"):
            self.assertFalse(fits(text)[3], text)
        self.assertTrue(fits("B.ORG", True)[3])
        self.assertEqual(problems.list, [])
        for pattern in ({"exact": ""}, {"regex": "("}, {"regex": "a)|(b"}):
            self.assertFalse(matchers([pattern], "/p", problems)[0]("a"))
        self.assertEqual([problem["path"] for problem in problems.list], ["/p/0/exact", "/p/0/regex", "/p/0/regex"])

    def test_a28_an_unverified_address_finds_no_account_whatever_claim_it_hides_in(self):
        victim = "victim@corp.com"
        for spelling in (victim, "VICTIM@corp.com", " victim@corp.com\n"):
            for name in ("email", "upn", "preferred_username"):
                for by in ("username", "email"):
                    asked = start(AttributeMapping, {"match-by": by, "match-claim": name})
                    claims = [] if name == "email" else [claim(name, spelling)]
                    identity = {"email": {"address": victim, "verified": False}, "claims": claims}
                    profile = asked.profile(identity=identity)
                    self.assertIsNone(profile["match-key"], f"{name} {by} {spelling!r}")
                    self.assertIsNone(profile["username"], f"{name} {by} {spelling!r}")

    def test_the_ready_made_policies_decide_without_a_component(self):
        asked = start(DomainRestriction, {"allowed-domains": "a.com; .b.org"})
        verdict = asked.admit(identity={"email": {"address": "u@x.b.org", "verified": True}})
        self.assertEqual(verdict, {"allow": {"code": "domain-allowed", "detail": "x.b.org"}})


if __name__ == "__main__":
    unittest.main()
