import re

from vestibule_policy import grant, name_problem, policy, reason

CODE = "default-group"


def fold(name):
    """Lower case for the letters of ASCII: an application may know no case."""
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), name.strip())


@policy
class DefaultGroups:
    def configure(self, settings, problems):
        self.default = settings["groups"]
        self.assign_to = settings["assign-to"]
        self.when_unmapped_only = settings["when-unmapped-only"]
        for index, group in enumerate(self.default):
            if problem := name_problem(group):
                problems.add(f"/groups/{index}", f"a group {problem}")
            if group in self.default[:index]:
                problems.add(f"/groups/{index}", f"`{group}` is there twice")

    def groups(self, account, so_far, **_):
        entitled = self.assign_to == "all" or (self.assign_to == "new" and account is None)
        left_alone = so_far["leave"] and account is not None
        mapped = any(given["because"]["code"] != CODE for given in so_far["grants"])
        if not entitled or left_alone or (mapped and self.when_unmapped_only):
            return so_far
        excluded = {fold(name) for name in so_far["exclude"]}
        for group in self.default:
            if fold(group) not in excluded:
                grant(so_far, group, reason(CODE))
        return so_far
