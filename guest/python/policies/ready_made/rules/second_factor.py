from vestibule_policy import Domains, domain, listed, name_problem, policy, reason, step_up

#: The gateway's own second factor (`wit/README.md`), and the one by a passkey alone.
SECOND_FACTOR = "urn:vestibule:second-factor"
PHISHING_RESISTANT = "urn:vestibule:second-factor:phishing-resistant"

#: The way here takes its time: fewer seconds count as this many.
MAX_AGE_MIN_S = 30


@policy
class SecondFactor:
    def configure(self, settings, problems):
        self.always = settings.get("always", False)
        self.groups_named = settings.get("groups", [])
        self.unless_amr = settings.get("unless-amr", [])
        self.by_passkey = settings.get("phishing-resistant", False)
        self.max_age = settings.get("max-age-s")
        names = settings.get("domains", "")
        self.domains = Domains(names, lambda message: problems.add("/domains", message))
        if not problems.list and not self.domains and names.strip():
            problems.add("/domains", "the list names no domain")
        lists = (("groups", "a group", self.groups_named), ("unless-amr", "a method", self.unless_amr))
        for key, what, all_of_them in lists:
            for index, name in enumerate(all_of_them):
                if problem := name_problem(name):
                    problems.add(f"/{key}/{index}", f"{what} {problem}")
        if self.max_age == 0:
            problems.add("/max-age-s", "nobody can authenticate within 0 s")
        if not self.always and not names.strip() and not self.groups_named:
            problems.add("/always", "say whose login wants it: `always`, `domains` or `groups`")

    def admit(self, context, identity, account):
        if not (self.always or self.is_of_domain(identity) or self.is_member(identity, account)):
            return "pass"
        has_passkey = identity["acr"] == PHISHING_RESISTANT
        has_any = has_passkey or identity["acr"] == SECOND_FACTOR
        # What the upstream asked for counts as long as its word does.
        if not has_any and any(method in self.unless_amr for method in identity["amr"]):
            return "pass"
        if self.by_passkey and not has_passkey:
            code = "passkey-required"
        elif not has_any:
            code = "second-factor-required"
        elif self.is_too_old(context, identity):
            code = "second-factor-too-old"
        else:
            return "pass"
        return step_up([PHISHING_RESISTANT if self.by_passkey else SECOND_FACTOR], reason(code), self.max_age)

    def is_of_domain(self, identity):
        if not self.domains:
            return False
        email = identity["email"]
        # Whoever chooses their own address does not choose their way around this.
        if email is None or not email["verified"]:
            return True
        name, _ = domain(email["address"])
        return name is None or name in self.domains

    def is_member(self, identity, account):
        if identity["groups"] == "overage" and self.groups_named:
            return True
        has = (listed(identity) or []) + (account["groups"] if account else [])
        return any(group in self.groups_named for group in has)

    def is_too_old(self, context, identity):
        """A time that is missing or lies in the future proves nothing."""
        if self.max_age is None:
            return False
        at, authenticated = context["at"], identity["auth-time"]
        return authenticated is None or authenticated > at or at - authenticated > max(self.max_age, MAX_AGE_MIN_S)
