from vestibule_policy import policy, reason


@policy
class AccountRules:
    def configure(self, settings, problems):
        self.settings = settings

    def provision(self, account, profile, granted, **_):
        return {
            "refuse-creation": self.refusal(profile, granted) if account is None else None,
            "update-attributes": self.settings["update-attributes"],
            "reactivate": self.settings["reactivate"],
        }

    def refusal(self, profile, granted):
        """Why a subject without an account gets none."""
        if not self.settings["allow-creation"]:
            return reason("creation-not-allowed")
        mapped = any(given["because"] != "default-group" for given in granted)
        if self.settings["only-if-mapped"] and not mapped:
            return reason("no-mapped-group")
        wanted = (("username", "no username"), ("email", "no email address"))
        missing = [words for key, words in wanted if not (profile[key] or "").strip()]
        return reason("profile-incomplete", ", ".join(missing)) if missing else None
