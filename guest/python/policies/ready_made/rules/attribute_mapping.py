from vestibule_policy import Fault, domain, is_attribute, is_reserved, log, loosest, lower, policy, trim

#: What an unverified address is good for; each goes further than the one before.
UNVERIFIED = ("ignore", "hand-over", "danger-match")

DEFAULTS = {
    "enabled": True,
    "username-claim": "preferred_username",
    "email-claim": "email",
    "given-name-claim": "given_name",
    "family-name-claim": "family_name",
    "display-name-claim": "name",
    "attributes": [],
    "match-by": "username",
    "match-claim": "",
    "unverified-email": "ignore",
    "required": [],
    "lower-case-username": False,
    "lower-case-email": False,
    "trim": True,
}


@policy
class AttributeMapping:
    def configure(self, settings, problems):
        self.settings = settings = {**DEFAULTS, **settings}
        by, required, rows = settings["match-by"], settings["required"], settings["attributes"]
        if by != "none" and not settings[f"{by}-claim"] and not settings["match-claim"]:
            problems.add("/match-claim", f"matching by {by} needs it, as `{by}-claim` is empty")
        for index, field in enumerate(required):
            if field in required[:index]:
                problems.add(f"/required/{index}", "is there twice")
        for index, row in enumerate(rows):
            at, name = f"/attributes/{index}", row["name"]
            if not is_attribute(name):
                problems.add(f"{at}/name", "an attribute's name is made of letters, digits and `-_.:/#~`")
            elif is_reserved(name):
                problems.add(f"{at}/name", f"`{name}` is the gateway's own")
            elif any(earlier["name"] == name for earlier in rows[:index]):
                problems.add(f"{at}/name", f"`{name}` has two rows")
            if not row["claim"]:
                problems.add(f"{at}/claim", "name the claim that fills the attribute")

    def profile(self, identity, so_far, **_):
        settings, profile = self.settings, so_far
        self.set_key(profile, identity)
        if not settings["enabled"]:
            return profile

        def fill(field, value):
            if value is not None:
                profile[field] = value

        fill("username", self.username(identity, settings["username-claim"]))
        fill("email", self.address(identity, settings["email-claim"], "hand-over"))
        for field in ("given-name", "family-name", "display-name"):
            fill(field, self.text(identity, settings[f"{field}-claim"]))
        for row in settings["attributes"]:
            value = self.attribute(identity, row)
            if value is not None:
                others = [other for other in profile["attributes"] if other["name"] != row["name"]]
                profile["attributes"] = [*others, {"name": row["name"], "value": value}]
            elif row.get("required"):
                raise Fault("missing-claim", row["claim"])
        for field in settings["required"]:
            if profile[field] is None:
                raise Fault("missing-claim", settings[f"{field}-claim"])
        return profile

    def set_key(self, profile, identity):
        """Sets what finds the account.

        Where mapping is off, the field that it is made of, too: the application must still be told who it is.
        """
        settings, by = self.settings, self.settings["match-by"]
        if by == "none":
            return
        claim = settings["match-claim"] or settings[f"{by}-claim"]
        if by == "username":
            found = self.username(identity, claim)
        else:
            found = self.address(identity, claim, "danger-match")
        if not settings["enabled"] and found is not None:
            profile[by] = found
        profile["match-key"] = None if found is None else {by: found}

    def goes_as_far_as(self, needed):
        return UNVERIFIED.index(self.settings["unverified-email"]) >= UNVERIFIED.index(needed)

    def username(self, identity, claim):
        """One that is the unverified address is none: it would find the account of the address's true owner."""
        text = self.text(identity, claim)
        if text is None:
            return None
        if is_unverified_address(identity, text) and not self.goes_as_far_as("danger-match"):
            log.info("the username is an email address that nobody verified: not used")
            return None
        return lower(text) if self.settings["lower-case-username"] else text

    def address(self, identity, claim, needed):
        """A well-formed address; an unverified one only where the settings go at least as far as ``needed``."""
        text = self.text(identity, claim)
        if text is None:
            return None
        # Only the upstream's own statement on its `email` claim verifies an address.
        stated = identity["email"]
        verified = stated is not None and stated["verified"] and is_the_address(stated["address"], text)
        if not verified and not self.goes_as_far_as(needed):
            log.info("nobody verified the email address: not used")
            return None
        if domain(text)[0] is None:
            log.warn("the email address is malformed: not used")
            return None
        return lower(text) if self.settings["lower-case-email"] else text

    def text(self, identity, claim):
        """The one text of ``claim``, if it has one and no more."""
        value = value_of(identity, claim) or {}
        if "integer" in value:
            return str(value["integer"])
        texts = [value["text"]] if "text" in value else value.get("texts", [])
        return self.trimmed(texts[0]) or None if len(texts) == 1 else None

    def attribute(self, identity, row):
        """The value of a custom attribute."""
        keeps_unverified = self.goes_as_far_as("hand-over")

        def clean(text):
            left = self.trimmed(text)
            if not left or (not keeps_unverified and is_unverified_address(identity, left)):
                return []
            return [lower(left) if row.get("lower-case") else left]

        value = value_of(identity, row["claim"])
        if value is not None and "texts" in value:
            return {"texts": [left for text in value["texts"] for left in clean(text)]}
        if value is not None and "text" in value:
            return next(({"text": left} for left in clean(value["text"])), None)
        return value

    def trimmed(self, text):
        return trim(text) if self.settings["trim"] else text


def value_of(identity, name):
    """The value of a claim, with its kind. ``sub`` and ``email`` are fields of the identity."""
    if name == "sub":
        return {"text": identity["subject"]}
    if name == "email":
        return identity["email"] and {"text": identity["email"]["address"]}
    return next((claim["value"] for claim in identity["claims"] if name and claim["name"] == name), None)


def is_unverified_address(identity, text):
    email = identity["email"]
    return email is not None and not email["verified"] and passes_for(email["address"], text)


def passes_for(one, other):
    """Applications compare addresses without case, each in its own way, so a difference in case proves nothing."""
    return loosest(trim(one)) == loosest(trim(other))


def is_the_address(verified, other):
    """Is it the address that was verified? Its case may differ, and nothing else."""
    return lower(trim(verified)) == lower(trim(other))
