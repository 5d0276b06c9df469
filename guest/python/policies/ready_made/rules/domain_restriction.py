from vestibule_policy import Domains, allow, deny, domain, policy


@policy
class DomainRestriction:
    def configure(self, settings, problems):
        def read(key):
            return Domains(settings.get(key, ""), lambda message: problems.add(f"/{key}", message))

        self.allowed, self.denied = read("allowed-domains"), read("denied-domains")
        self.require_verified = settings.get("require-verified", True)
        if not problems.list and not self.allowed:
            # `;;` is a slip, not the wish to let everybody in.
            if settings.get("allowed-domains", "").strip():
                problems.add("/allowed-domains", "the list names no domain")
            elif not self.denied:
                problems.add("/allowed-domains", "name the domains that may come in, or those that may not")

    def admit(self, identity, **_):
        email = identity["email"]
        if email is None:
            return deny("email-missing", "the upstream sent no email address")
        name, reason = domain(email["address"])
        if reason:
            return {"deny": reason}
        if self.require_verified and not email["verified"]:
            return deny("email-not-verified", "the upstream does not vouch for the email address")
        if name in self.denied:
            return deny("domain-denied", name)
        if self.allowed and name not in self.allowed:
            return deny("domain-not-allowed", name)
        return allow("domain-allowed", name)
