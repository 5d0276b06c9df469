import unittest

from rules.logout import Logout
from vestibule_policy import policy
from vestibule_policy.testing import start


class LogoutTest(unittest.TestCase):
    def test_leads_where_the_person_wanted_to_go_where_that_is_a_target_at_all(self):
        asked, target = start(policy(Logout), {"logout-at-upstream": True}), "https://app.example/bye"
        self.assertEqual(asked.logout(requested=target), {"at-upstream": True, "target": target})
        self.assertIsNone(asked.logout(requested="https://app.example/\r\n")["target"])
        self.assertIsNone(asked.logout()["target"])
