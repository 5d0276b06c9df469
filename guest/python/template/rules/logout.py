"""Where does a logout end?"""

from vestibule_policy import name_problem


class Logout:
    def configure(self, settings, problems):
        """Reads the settings."""
        self.at_upstream = settings["logout-at-upstream"]

    def logout(self, requested, **_):
        # The host follows only targets that the configuration allows; one that no header could hold
        # would be an error.
        is_target = requested is not None and not name_problem(requested)
        return {"at-upstream": self.at_upstream, "target": requested if is_target else None}
