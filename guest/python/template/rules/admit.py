"""May this identity log in?"""

from vestibule_policy import Domains, allow, deny, domain


class Admit:
    def configure(self, settings, problems):
        """Reads the settings; notes what is wrong with them."""
        self.allowed = Domains(settings["allowed-domains"], lambda message: problems.add("/allowed-domains", message))

    def admit(self, identity, **_):
        email = identity["email"]
        if email is None:
            return deny("email-missing", "the upstream sent no address")
        if not email["verified"]:
            return deny("email-not-verified", "the upstream does not vouch for the address")
        name, invalid = domain(email["address"])
        if invalid:
            return {"deny": invalid}
        return allow("domain-allowed", name) if name in self.allowed else deny("domain-not-allowed", name)
