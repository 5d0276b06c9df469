"""May this request of a live session pass?"""

from vestibule_policy import reason


class Access:
    def configure(self, settings, problems):
        """Reads the settings; notes what is wrong with them."""
        self.max_age = settings["max-age-s"]
        for index, path in enumerate(settings["protected-paths"]):
            if not path.startswith("/"):
                problems.add(f"/protected-paths/{index}", "a path begins with `/`")
        if self.max_age == 0:
            problems.add("/max-age-s", "nobody can authenticate within 0 s")

    def access(self, context, identity, **_):
        # The manifest's `access-paths-from-settings`: only requests to these paths come here.
        then = identity["auth-time"]
        if then is not None and context["at"] - then <= self.max_age:
            return "pass"
        return {"reauthenticate": {"acr-values": [], "max-age": self.max_age, "reason": reason("protected-path")}}
