import re

from vestibule_policy import domain, matchers, normalize_domain, policy, reason, trim

from rules.redirection.area import is_left_to_the_application, read_areas
from rules.redirection.target import REFUSED, check_delay, check_target

DEFAULTS = {
    "enabled": True,
    "rules": [],
    "default": {},
    "ask-identifier": "when-needed",
    "identifier": "email",
    "auto-redirect": True,
    "delay-s": 0,
    "forward-login-hint": True,
    "prefer-previous": False,
    "areas": [],
}

_NO_USERNAME = re.compile("[@\x00-\x1f\x7f-\x9f]")


@policy
class RedirectionRules:
    def configure(self, settings, problems):
        self.settings = settings = {**DEFAULTS, **settings}
        check_delay(problems, "/delay-s", settings["delay-s"])
        self.rules = read_rules(settings["rules"], problems)
        check_target(problems, "/default", settings["default"])
        self.areas = read_areas(settings["areas"], problems)

    def route(self, attempt):
        settings = self.settings
        if not settings["enabled"]:
            return "pass"
        if is_left_to_the_application(self.areas, attempt["context"]):
            return "application-form"
        text = trim(attempt["identifier"] or "")
        asks = settings["ask-identifier"] != "never"
        if not text and settings["ask-identifier"] == "always":
            return "ask-identifier"
        typed = Typed.read(text, settings["identifier"]) if text else None
        if text and typed is None and asks:
            # The form says what is wrong: the gateway knows that something was typed.
            return "ask-identifier"
        way = Way(attempt, settings, typed and typed.text)
        for rule in self.rules:
            if not fits(rule["application"], attempt["context"]["application"]):
                continue
            needs_identifier = rule["domain"] or rule["identifier"]
            if typed is None and needs_identifier and asks:
                return "ask-identifier"
            if typed is None and needs_identifier:
                continue
            if typed is None or (fits(rule["domain"], typed.domain) and fits(rule["identifier"], typed.lower)):
                return way.to(rule["target"], f'rule "{rule["name"]}"')
        return way.to(settings["default"], "default")


def fits(patterns, text):
    """No pattern is no condition; nothing at all fits none."""
    return not patterns or (text is not None and any(fit(text) for fit in patterns))


class Typed:
    """What was typed, in the form that rules are matched against."""

    def __init__(self, text, name):
        self.text, self.lower, self.domain = text, text.lower(), name

    @classmethod
    def read(cls, text, welcome):
        """None where it is neither a well-formed address nor, where those are welcome, a username."""
        name, _ = domain(text)
        is_username = welcome == "any" and not _NO_USERNAME.search(text)
        return cls(text, name) if name is not None or is_username else None


def read_rules(written, problems):
    rules = []
    for index, rule in enumerate(written):
        at, name = f"/rules/{index}", rule["name"]
        if not trim(name):
            problems.add(f"{at}/name", "a rule has a name: the audit tells it by that")
        elif any(earlier["name"] == name for earlier in written[:index]):
            problems.add(f"{at}/name", f"two rules are named `{name}`")
        domains, identifiers, applications = (
            rule.get(key, []) for key in ("email-domain", "identifier", "application")
        )
        if not domains and not identifiers and not applications:
            problems.add(at, "a rule without a condition always matches; make it the `default`")
        check_target(problems, f"{at}/target", rule["target"])
        rules.append({
            "name": name,
            "target": rule["target"],
            "domain": domain_matchers(domains, f"{at}/email-domain", problems),
            "identifier": matchers(identifiers, f"{at}/identifier", problems, ignore_case=True),
            "application": matchers(applications, f"{at}/application", problems),
        })
    return rules


def domain_matchers(patterns, at, problems):
    """Patterns of domains, which come as A-labels in lower case."""
    plain = [{"glob": "*"} if "exact" in pattern or "suffix" in pattern else pattern for pattern in patterns]
    made = matchers(plain, at, problems, ignore_case=True)
    for index, pattern in enumerate(patterns):
        ((kind, text),) = pattern.items()
        if kind not in ("exact", "suffix"):
            continue
        is_below = kind == "suffix" and text.startswith(".")
        name = normalize_domain(text[1:] if is_below else text)
        if name is None:
            problems.add(f"{at}/{index}/{kind}", f"`{text}` is no domain")
        else:
            made[index] = domain_matcher(name, itself=not is_below, below=kind == "suffix")
    return made


def domain_matcher(name, itself, below):
    # `evila.com` is not under `a.com`: a suffix ends at a label.
    return lambda other: (itself and other == name) or (below and other.endswith(f".{name}"))


class Way:
    """From an attempt, with what was typed, to a direction."""

    def __init__(self, attempt, settings, typed):
        self.attempt, self.settings, self.typed = attempt, settings, typed
        self.upstreams = attempt["upstreams"]

    def to(self, target, by):
        """The direction to ``target``, on account of ``by``."""
        to = target.get("to", "auto")
        if to == "upstream":
            upstream = target["upstream"]
            is_open = upstream in self.upstreams
            return self.leave(target, upstream) if is_open else not_open(f"{by}: `{upstream}`")
        if to == "choose":
            named = target.get("upstreams", [])
            open_ones = [upstream for upstream in named if upstream in self.upstreams]
            return not_open(by) if named and not open_ones else self.offer(target, open_ones or self.upstreams)
        if to == "refuse":
            code = target.get("reason")
            return {"refuse": reason(REFUSED if code is None else code, by)}
        return self.auto(target) if to == "auto" else to

    def auto(self, target):
        if not self.upstreams:
            return not_open("the application has no upstream")
        if len(self.upstreams) == 1:
            return self.leave(target, self.upstreams[0])
        previous = self.attempt["previous"]
        is_preferred = self.settings["prefer-previous"] and previous in self.upstreams
        return self.leave(target, previous) if is_preferred else self.offer(target, self.upstreams)

    def leave(self, target, upstream):
        """To an upstream: at once, or through a page with a button."""
        # After a failure a person decides, or the browser would run in circles.
        has_failed = upstream in self.attempt["failed"]
        if has_failed or (not self.settings["auto-redirect"] and self.typed is None):
            return self.offer(target, [upstream])
        return {"redirect": self.redirect(target, upstream)}

    def offer(self, target, upstreams):
        """A page with a button for each."""
        return {"choose": [self.redirect(target, upstream) for upstream in upstreams]}

    def redirect(self, target, upstream):
        delay = target.get("delay-s")
        return {
            "upstream": upstream,
            "delay": self.settings["delay-s"] if delay is None else delay,
            "login-hint": self.typed if self.settings["forward-login-hint"] else None,
            "acr-values": target.get("acr-values", []),
            "max-age": target.get("max-age-s"),
        }


def not_open(detail):
    return {"refuse": reason("upstream-not-open", detail)}
