"""Who is the subject to the application?"""

from vestibule_policy import lower, name_problem, value_of


class Profile:
    def configure(self, settings, problems):
        """Reads the settings."""
        self.lower_case = settings["lower-case-usernames"]

    def profile(self, identity, so_far, **_):
        # Only an address that the upstream vouches for may name an account, and a value that no header
        # could hold would break the login: better none.
        email = identity["email"]
        if email and email["verified"] and not name_problem(email["address"]):
            username = lower(email["address"]) if self.lower_case else email["address"]
            so_far |= {"match-key": {"username": username}, "username": username, "email": email["address"]}
        for key, name in (("given-name", "given_name"), ("family-name", "family_name")):
            value = value_of(identity["claims"], name)
            if isinstance(value, str) and not name_problem(value):
                so_far[key] = value
        return so_far
