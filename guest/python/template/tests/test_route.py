import unittest

from rules.route import Route
from vestibule_policy import policy
from vestibule_policy.testing import start


class RouteTest(unittest.TestCase):
    def test_sends_to_the_upstream_of_the_settings_where_that_is_a_way_on(self):
        asked, both = start(policy(Route), {"upstream": "corporate"}), ["corporate", "partner"]
        self.assertEqual(asked.route(attempt={"upstreams": both})["redirect"]["upstream"], "corporate")
        self.assertEqual(asked.route(attempt={"upstreams": ["partner"]}), "pass")
        self.assertEqual(asked.route(attempt={"upstreams": both, "failed": ["corporate"]}), "pass")
