"""Asks a policy without a component, for unit tests.

What a question leaves out is as in the gateway's cases (docs/cases.md), and the question and the
answer are held to the contract.
"""

import copy
import json

from . import Fault, schema

_CONTEXT = {
    "login": "case", "at": 1_700_000_000, "tenant": "default", "application": "app", "address": None, "facts": [],
}
_IDENTITY = {
    "upstream": "idp", "protocol": "oidc", "issuer": "https://idp.example", "subject": "s-1", "email": None,
    "groups": "absent", "auth-time": None, "acr": None, "amr": [], "claims": [],
}
_ACCOUNT = {"active": True, "groups": [], "attributes": []}
_PROFILE = {
    "match-key": None, "username": None, "email": None, "given-name": None, "family-name": None, "display-name": None,
    "attributes": [],
}
_PLAN = {"grants": [], "replace": False, "create-missing": False, "exclude": [], "leave": False}
_DEFAULTS = {
    "route": {"attempt": {"identifier": None, "upstreams": ["idp"], "previous": None, "failed": []}},
    "admit": {},
    "profile": {"so-far": _PROFILE},
    "groups": {"profile": _PROFILE, "so-far": _PLAN},
    "provision": {"profile": _PROFILE, "granted": []},
    "session": {"groups": [], "so-far": {"lifetime": 28800, "idle": 3600, "remember": True}},
    "access": {"groups": [], "request": {"method": "GET", "host": "app.example", "path": "/"}},
    "logout": {"requested": None},
}
_WITH_ACCOUNT = ("admit", "profile", "groups", "provision")


class SettingsError(Exception):
    """The policy does not take its settings; ``problems`` says why."""

    def __init__(self, problems):
        super().__init__("; ".join(f"{problem['path']}: {problem['message']}" for problem in problems))
        self.problems = problems


class Started:
    """A policy that took its settings. A method for each hook takes what differs from the defaults."""

    def __init__(self, started):
        self._started = started
        self.hooks = started.hooks

    def __getattr__(self, hook):
        if hook not in schema.HOOKS:
            raise AttributeError(hook)

        def ask(**parts):
            question = _question(hook, {name.replace("_", "-"): part for name, part in parts.items()})
            unfit = schema.check(f"{hook}.question", question)
            if unfit:
                raise ValueError(f"the question does not fit the contract at `{unfit[0]}`: {unfit[1]}")
            # There and back, as in a component: an answer may share nothing with the question.
            outcome = json.loads(json.dumps(self._started.ask(hook, question), allow_nan=False))
            if "err" in outcome:
                ((kind, detail),) = outcome["err"].items()
                raise Fault(kind, detail)
            return outcome["ok"]

        return ask


def start(policy, settings=None):
    """Configures ``policy``; raises ``SettingsError`` where it does not take ``settings``."""
    started = policy.start(copy.deepcopy(settings or {}))
    if started.problems:
        raise SettingsError(started.problems)
    return Started(started)


def claim(name, value):
    """A claim, fact or attribute of a plain value."""
    if isinstance(value, bool):
        kind = "boolean"
    elif isinstance(value, (int, float)):
        kind = "integer" if isinstance(value, int) else "number"
    elif isinstance(value, str):
        kind = "text"
    elif isinstance(value, list) and all(isinstance(text, str) for text in value):
        kind = "texts"
    else:
        kind, value = "json", json.dumps(value, sort_keys=True)
    return {"name": name, "value": {kind: value}}


def _question(hook, parts):
    question = copy.deepcopy(_DEFAULTS[hook])
    if hook == "route":
        question["attempt"]["context"] = copy.deepcopy(_CONTEXT)
    else:
        question |= {"context": copy.deepcopy(_CONTEXT), "identity": copy.deepcopy(_IDENTITY)}
    if hook in _WITH_ACCOUNT:
        question["account"] = None
    for name, part in copy.deepcopy(parts).items():
        default = _ACCOUNT if name == "account" else question.get(name)
        question[name] = {**copy.deepcopy(default), **part} if isinstance(part, dict) and isinstance(default, dict) else part
    return question
