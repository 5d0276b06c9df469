import unittest

from rules.admit import Admit
from vestibule_policy import policy
from vestibule_policy.testing import start


class AdmitTest(unittest.TestCase):
    def answer(self, address, verified=True):
        asked = start(policy(Admit), {"allowed-domains": "example.com"})
        return asked.admit(identity={"email": address and {"address": address, "verified": verified}})

    def test_lets_in_a_verified_address_of_an_allowed_domain(self):
        answer = self.answer("ann@Example.com")
        self.assertEqual(answer, {"allow": {"code": "domain-allowed", "detail": "example.com"}})

    def test_denies_everybody_else_each_for_a_reason_of_their_own(self):
        self.assertEqual(self.answer("ann@example.org")["deny"]["code"], "domain-not-allowed")
        self.assertEqual(self.answer("ann@example.com", False)["deny"]["code"], "email-not-verified")
        self.assertEqual(self.answer("ann@example.org@example.com")["deny"]["code"], "invalid-email")
        self.assertEqual(self.answer(None)["deny"]["code"], "email-missing")
