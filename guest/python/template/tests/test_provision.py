import unittest

from rules.provision import Provision
from vestibule_policy import policy
from vestibule_policy.testing import start


class ProvisionTest(unittest.TestCase):
    def test_creates_no_account_without_the_group(self):
        asked = start(policy(Provision), {"creation-needs-group": "staff"})

        def refusal(group):
            return asked.provision(granted=[{"group": group, "because": "mapped"}])["refuse-creation"]

        self.assertIsNone(refusal("staff"))
        self.assertEqual(refusal("guests")["code"], "group-needed")
