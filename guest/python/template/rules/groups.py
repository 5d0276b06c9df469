"""Which groups has the subject in the application?"""

from vestibule_policy import grant, name_problem, reason


class Groups:
    def configure(self, settings, problems):
        """Reads the settings; notes what is wrong with them."""
        self.default = settings["default-groups"]
        for index, group in enumerate(self.default):
            if problem := name_problem(group):
                problems.add(f"/default-groups/{index}", f"a group {problem}")

    def groups(self, so_far, **_):
        # What earlier policies of the chain granted stays in the plan.
        for group in self.default:
            grant(so_far, group, reason("default"))
        return so_far
