"""May an account be created, updated, reactivated?"""

from vestibule_policy import name_problem, reason


class Provision:
    def configure(self, settings, problems):
        """Reads the settings; notes what is wrong with them."""
        self.needed = settings["creation-needs-group"]
        if self.needed and (problem := name_problem(self.needed)):
            problems.add("/creation-needs-group", f"a group {problem}")

    def provision(self, granted, **_):
        may_create = not self.needed or any(grant["group"] == self.needed for grant in granted)
        return {
            "refuse-creation": None if may_create else reason("group-needed", self.needed),
            "update-attributes": "every-login",
            "reactivate": False,
        }
