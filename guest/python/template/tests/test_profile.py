import unittest

from rules.profile import Profile
from vestibule_policy import policy
from vestibule_policy.testing import claim, start


class ProfileTest(unittest.TestCase):
    def setUp(self):
        self.asked = start(policy(Profile), {"lower-case-usernames": True})

    def test_names_the_account_by_a_verified_address_alone(self):
        def key(verified):
            email = {"address": "Ann@example.com", "verified": verified}
            return self.asked.profile(identity={"email": email})["match-key"]

        self.assertEqual(key(True), {"username": "ann@example.com"})
        self.assertIsNone(key(False))

    def test_keeps_the_name_that_is_there_where_the_upstream_sends_none(self):
        claims = [claim("family_name", "Ash"), claim("given_name", "An\nn")]
        answer = self.asked.profile(identity={"claims": claims}, so_far={"given-name": "Anne"})
        self.assertEqual((answer["given-name"], answer["family-name"]), ("Anne", "Ash"))
