import unittest

from rules.session import Session
from vestibule_policy import policy
from vestibule_policy.testing import start


class SessionTest(unittest.TestCase):
    def test_shortens_a_session_and_never_makes_one_longer(self):
        asked = start(policy(Session), {"lifetime-s": 3600})
        for given, answer in (((28800, 7200), (3600, 3600)), ((600, 300), (600, 300))):
            terms = asked.session(so_far=dict(zip(("lifetime", "idle"), given)))
            self.assertEqual(terms, {"lifetime": answer[0], "idle": answer[1], "remember": True})
