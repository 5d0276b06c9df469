"""The rules that are compared, as one policy: whose domain may enter, which group of the upstream stands for which of the
application, and a group for those who have none.
"""

from vestibule_policy import allow, deny, domain, listed, policy, reason


@policy
class Compared:
    def configure(self, settings, problems):
        self.domains = settings["domains"]
        self.default = settings["default"]
        self.rows = {}
        for row in settings["rows"]:
            self.rows.setdefault(row["from"], []).append(row["group"])

    def admit(self, identity, **_):
        email = identity["email"]
        name = domain(email["address"])[0] if email and email["verified"] else None
        is_in = name is not None and any(name == allowed or name.endswith(f".{allowed}") for allowed in self.domains)
        return allow("domain") if is_in else deny("domain")

    def groups(self, identity, so_far, **_):
        for name in listed(identity) or []:
            for group in self.rows.get(name, []):
                so_far["grants"].append({"group": group, "because": reason("mapped")})
        if not so_far["grants"]:
            so_far["grants"].append({"group": self.default, "because": reason("default")})
        return so_far
