import unittest

from rules.access import Access
from vestibule_policy import policy
from vestibule_policy.testing import start


class AccessTest(unittest.TestCase):
    def test_asks_who_authenticated_too_long_ago_to_do_so_again(self):
        asked = start(policy(Access), {"protected-paths": ["/admin/*"], "max-age-s": 600})

        def answer(then):
            return asked.access(context={"at": 1_700_000_000}, identity={"auth-time": then})

        self.assertEqual(answer(1_699_999_400), "pass")
        self.assertEqual(answer(1_699_999_399)["reauthenticate"]["max-age"], 600)
        self.assertEqual(answer(None)["reauthenticate"]["reason"]["code"], "protected-path")
