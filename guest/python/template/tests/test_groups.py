import unittest

from rules.groups import Groups
from vestibule_policy import policy
from vestibule_policy.testing import start


class GroupsTest(unittest.TestCase):
    def test_adds_the_default_groups_to_what_is_granted_already(self):
        asked = start(policy(Groups), {"default-groups": ["users"]})
        grants = [{"group": "developers", "because": {"code": "mapped", "detail": ""}}]
        plan = asked.groups(so_far={"grants": grants})
        self.assertEqual([grant["group"] for grant in plan["grants"]], ["developers", "users"])
