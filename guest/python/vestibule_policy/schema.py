"""The contract's JSON Schema, as far as it uses JSON Schema."""

import json
from math import isfinite
from pathlib import Path

_DEFS = json.loads(Path(__file__).with_name("policy.schema.json").read_text("utf-8"))["$defs"]

#: The hooks, in the order of a login.
HOOKS = ("route", "admit", "profile", "groups", "provision", "session", "access", "logout")


def check(name, value):
    """Holds ``value`` to the definition ``name``, such as ``admit.answer``.

    Returns the JSON pointer of the first thing that does not fit, and what is wrong with it; None
    where all of it fits.
    """
    return _CHECKS[name](value, "")


def _compile(schema):
    """A function for each schema: walking it anew for each value would cost every login."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return lambda value, at: _CHECKS[name](value, at)
    if "anyOf" in schema:
        return _any(schema["anyOf"])
    if "enum" in schema:
        names = schema["enum"]
        expected = f"one of {', '.join(names)}"
        return lambda value, at: None if isinstance(value, str) and value in names else _wrong(at, expected, value)
    return _TYPES[schema["type"]](schema)


def _object(schema):
    required = schema["required"]
    members = {key: _compile(member) for key, member in schema["properties"].items()}

    def fit(value, at):
        if type(value) is not dict:
            return _wrong(at, "an object", value)
        for key in required:
            if key not in value:
                return at, f"`{key}` is missing"
        for key, member in value.items():
            if key not in members:
                return f"{at}/{key}", f"no such key; expected {', '.join(members)}"
            problem = members[key](member, f"{at}/{key}")
            if problem:
                return problem
        return None

    return fit


def _array(schema):
    item_fits = _compile(schema["items"])

    def fit(value, at):
        if not isinstance(value, (list, tuple)):
            return _wrong(at, "an array", value)
        for index, item in enumerate(value):
            problem = item_fits(item, f"{at}/{index}")
            if problem:
                return problem
        return None

    return fit


def _integer(schema):
    least, most = schema.get("minimum"), schema.get("maximum")
    expected = "a whole number" if most is None else f"a whole number from 0 to {most}"

    def fit(value, at):
        fits = type(value) is int and (least is None or value >= least) and (most is None or value <= most)
        return None if fits else _wrong(at, expected, value)

    return fit


def _any(schemas):
    """A variant: what is told is about the case that was meant."""
    branches = [(schema, _compile(schema)) for schema in schemas]
    names = [name for schema in schemas for name in schema.get("enum") or schema.get("required") or [schema.get("type", "…")]]

    def fit(value, at):
        for schema, fits in branches:
            problem = fits(value, at)
            if problem is None:
                return None
            required = schema.get("required", ())
            is_meant = len(required) == 1 and isinstance(value, dict) and required[0] in value
            if is_meant or ("$ref" in schema and value is not None):
                return problem
        return _wrong(at, f"one of {', '.join(names)}", value)

    return fit


def _plain(is_one, expected):
    return lambda schema: lambda value, at: None if is_one(value) else _wrong(at, expected, value)


def _wrong(at, expected, value):
    return at, f"expected {expected}, found {_kind(value)}"


def _kind(value):
    if value is None:
        return "None"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a string", dict: "an object", list: "an array"}
    return kinds.get(type(value), f"a {type(value).__name__}")


_TYPES = {
    "object": _object,
    "array": _array,
    "integer": _integer,
    "number": _plain(lambda value: type(value) in (int, float) and isfinite(value), "a number"),
    "string": _plain(lambda value: isinstance(value, str), "a string"),
    "boolean": _plain(lambda value: isinstance(value, bool), "true or false"),
    "null": _plain(lambda value: value is None, "None"),
}
_CHECKS = {}
for _name, _schema in _DEFS.items():
    _CHECKS[_name] = _compile(_schema)
