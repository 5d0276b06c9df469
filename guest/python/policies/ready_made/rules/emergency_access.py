from vestibule_policy import allow, deny, listed, name_problem, policy


@policy
class EmergencyAccess:
    def configure(self, settings, problems):
        self.enabled = settings.get("enabled", True)
        self.named = settings.get("groups", [])
        self.any_local = settings.get("any-local-account", False)
        for index, group in enumerate(self.named):
            if problem := name_problem(group):
                problems.add(f"/groups/{index}", f"a group {problem}")
        if self.enabled and not self.named and not self.any_local:
            problems.add("/groups", "nobody could come in; name a group, set `any-local-account` or say `enabled = false`")
        if self.any_local and self.named:
            problems.add("/any-local-account", "lets everybody in, so `groups` would not matter; take one of them out")

    def admit(self, identity, account, **_):
        if not self.enabled:
            return deny("emergency-access-off")
        if identity["protocol"] != "local":
            return deny("not-a-local-account")
        if account is not None and not account["active"]:
            return deny("account-inactive")
        if self.any_local:
            return allow("local-account")
        has = (listed(identity) or []) + (account["groups"] if account else [])
        emergency = next((group for group in self.named if group in has), None)
        return deny("not-in-emergency-group") if emergency is None else allow("emergency-group", emergency)
