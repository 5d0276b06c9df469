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

_LEVELS = {"debug": _log.Level.DEBUG, "info": _log.Level.INFO, "warn": _log.Level.WARN}
_policy = None
_running = None


def load(name):
    """Takes the policy of the module ``name``: its ``POLICY``, or the one class that is one."""
    global _policy
    module = importlib.import_module(name)
    own = [
        value for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == name and hasattr(value, "start")
    ]
    _policy = getattr(module, "POLICY", None) or (own[0] if len(own) == 1 else None)
    if _policy is None:
        raise TypeError(f"`{name}` has {len(own)} classes with `@policy`: say `POLICY = …` which one it is")


class Settings(exports.Settings):
    def configure(self, json):
        global _running
        log.sink = lambda level, message: _log.write(_LEVELS[level], message)
        started = _policy.start(_json.loads(json))
        if started.problems:
            raise Err([Problem(problem["path"], problem["message"]) for problem in started.problems])
        _running = started


class Json(exports.Json):
    def hooks(self):
        return _running.hooks

    def ask(self, hook, question):
        return _json.dumps(_running.ask(hook, _json.loads(question)), ensure_ascii=False, allow_nan=False)
