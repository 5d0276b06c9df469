"""Write login policies for the Vestibule gateway.

A policy is a class with a method for each hook that it decides. ``component`` makes a component
of it, ``testing`` asks it in a unit test; both do it by way of ``start``.
"""

import json

from . import schema
from .email import Domains, domain, normalize_domain
from .letters import fold_case, loosest, lower
from .names import glob, is_attribute, is_reserved, name_problem, trim
from .path import decoded_path
from .pattern import matchers

__all__ = [
    "Domains", "Fault", "Problems", "allow", "choose_by", "decoded_path", "deny", "domain", "fold_case", "glob", "grant",
    "is_attribute", "is_reserved", "listed", "log", "loosest", "lower", "matchers", "name_problem", "normalize_domain",
    "policy", "reason", "step_up", "trim", "value_of",
]


#: A function that calls itself for ever has hundreds.
_PLACES_MAX = 12


class Fault(Exception):
    """The policy could not decide: the hook fails closed.

    ``kind`` is ``missing-claim``, ``bad-claim``, ``lookup-failed`` or ``internal``; ``detail`` says
    what is missing or bad, such as the claim's name.
    """

    def __init__(self, kind, detail):
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class Problems:
    """What is wrong with settings, all of it."""

    def __init__(self):
        self.list = []

    def add(self, path, message):
        """Notes a problem at a JSON pointer."""
        self.list.append({"path": path, "message": message})

    def check_name(self, path, what, name):
        """Notes what is wrong with a name that a decision will use; ``what`` says whose, such as ``a group``."""
        if problem := name_problem(name):
            self.add(path, f"{what} {problem}")

    def check_acr(self, path, acr):
        """Notes what is wrong with one of the ``acr_values`` (OIDC Core 3.1.2.1: separated by blanks)."""
        if problem := name_problem(acr) or ("has a blank" if " " in acr else None):
            self.add(path, f"an acr value {problem}")


class _Log:
    """Lines for the decision's trace."""

    def __init__(self):
        self.sink = lambda level, message: None

    def debug(self, message):
        self.sink("debug", str(message))

    def info(self, message):
        self.sink("info", str(message))

    def warn(self, message):
        self.sink("warn", str(message))


log = _Log()


class _Started:
    """A policy that took its settings, or what it has against them."""

    def __init__(self, hooks, ask, problems=()):
        self.hooks = hooks
        self.ask = ask
        self.problems = list(problems)


def policy(cls):
    """Makes a class a policy.

    A method named like a hook decides it. It gets the question's parts as keyword arguments, with
    ``_`` for ``-``; one that does not care for all of them takes ``**_``. ``configure`` gets the
    settings, which fit the manifest's schema, and ``Problems`` to which it adds what is wrong with
    them.
    """
    hooks = [hook for hook in schema.HOOKS if callable(getattr(cls, hook, None))]
    if not hooks:
        raise TypeError(f"{cls.__name__} decides no hook; expected a method of {', '.join(schema.HOOKS)}")

    def start(settings):
        instance, problems = cls(), Problems()
        if hasattr(cls, "configure"):
            instance.configure(settings, problems)
        return _Started(hooks, lambda hook, question: _ask(instance, hooks, hook, question), problems.list)

    cls.start = staticmethod(start)
    return cls


class choose_by:
    """Several policies in one component: the setting ``key`` says which one it is this time.

    Each has a manifest of its own, of the same component.
    """

    def __init__(self, key, policies):
        self._key = key
        self._policies = dict(policies)

    def start(self, settings):
        rest = dict(settings)
        name = rest.pop(self._key, None)
        if name not in self._policies:
            message = f"expected one of {', '.join(self._policies)}"
            return _Started([], None, [{"path": f"/{self._key}", "message": message}])
        return self._policies[name].start(rest)


def _ask(instance, hooks, hook, question):
    """One question, one answer: ``{"ok": …}`` or ``{"err": …}``."""
    if hook not in hooks:
        return _internal(f"the policy does not decide `{hook}`")
    unfit = schema.check(f"{hook}.question", question)
    if unfit:
        return _internal(f"the question does not fit the contract at `{unfit[0]}`: {unfit[1]}")
    try:
        outcome = {"ok": getattr(instance, hook)(**{key.replace("-", "_"): part for key, part in question.items()})}
    except Fault as fault:
        outcome = {"err": {fault.kind: fault.detail}}
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        log.warn(f"{hook} raised {what} (at {' > '.join(_places(error))})")
        return _internal(what)
    wrong = schema.check(f"{hook}.answer", outcome)
    return _internal(f"the answer does not fit the contract at `{wrong[0]}`: {wrong[1]}") if wrong else outcome


def _places(error):
    """Where it was raised, the innermost places last. ``traceback`` would read the source's files: there are none."""
    places, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return places[-_PLACES_MAX:]


def _internal(detail):
    return {"err": {"internal": detail}}


def reason(code, detail=""):
    return {"code": code, "detail": str(detail)}


def allow(code, detail=""):
    """Let in."""
    return {"allow": reason(code, detail)}


def deny(code, detail=""):
    """Turn away: at ``admit`` and ``access``."""
    return {"deny": reason(code, detail)}


def step_up(acr_values, why, max_age=None):
    """Ask for more, at ``admit``."""
    return {"step-up": {"acr-values": list(acr_values), "max-age": max_age, "reason": why}}


def value_of(claims, name):
    """The value of the claim, fact or attribute ``name``; None where it is not there."""
    for claim in claims:
        if claim["name"] == name:
            ((kind, value),) = claim["value"].items()
            return json.loads(value) if kind == "json" else value
    return None


def listed(identity):
    """The names that the upstream listed; None where it sent no list."""
    groups = identity["groups"]
    return groups["listed"] if isinstance(groups, dict) else None


def grant(plan, group, why):
    """Adds a grant to a plan, unless the group is there."""
    if all(other["group"] != group for other in plan["grants"]):
        plan["grants"].append({"group": group, "because": why})
