"""The exports of the contract's world ``json-policy``, made of a policy.

Imported by the module that ``vestibule policy build`` gives componentize-py, and nowhere else:
``wit_world`` and ``componentize_py_types`` are there in a component alone.
"""

import importlib
import json as _json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.settings import Problem
from wit_world.imports import log as _log

from . import log
from .testing import start

_LEVELS = {"debug": _log.Level.DEBUG, "info": _log.Level.INFO, "warn": _log.Level.WARN}
_policy = None
_running = None


def load(name, settings):
    """Takes the policy of the module ``name``: its ``POLICY``, or the one class that is one.

    ``settings`` are the manifest's defaults, as JSON. With them it is asked each of its hooks once, for
    nothing: what is imported and compiled on first use then is in the component, and costs no login.
    """
    global _policy
    module = importlib.import_module(name)
    own = [
        value for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == name and hasattr(value, "start")
    ]
    _policy = getattr(module, "POLICY", None) or (own[0] if len(own) == 1 else None)
    if _policy is None:
        raise TypeError(f"`{name}` has {len(own)} classes with `@policy`: say `POLICY = …` which one it is")
    try:
        rehearsed = start(_policy, _json.loads(settings))
        for hook in rehearsed.hooks:
            getattr(rehearsed, hook)()
    except Exception:
        # The defaults need not be settings with which it can decide.
        pass


class Settings(exports.Settings):
    def configure(self, json):
        global _running
        log.sink = lambda level, message: _log.write(_LEVELS[level], message)
        try:
            started = _policy.start(_json.loads(json))
        except Exception as error:
            raise Err([Problem("", f"configure raised {type(error).__name__}: {error}")]) from None
        if started.problems:
            raise Err([Problem(problem["path"], problem["message"]) for problem in started.problems])
        _running = started


class Json(exports.Json):
    def hooks(self):
        return _running.hooks

    def ask(self, hook, question):
        return _json.dumps(_running.ask(hook, _json.loads(question)), ensure_ascii=False, allow_nan=False)
