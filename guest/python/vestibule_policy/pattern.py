"""Patterns as operators write them: a table with one key, such as ``{ suffix = "-admins" }``."""

import re

from .letters import fold_case
from .names import glob


def matchers(patterns, at, problems, ignore_case=False):
    """Makes ``patterns`` ready to match: a function for each, which takes a text.

    ``exact`` and ``glob`` hold for the whole text, ``suffix`` for its end, ``regex`` (a regular expression of
    Python's) for the whole. What is wrong with one is noted in ``problems`` at its place below the JSON pointer
    ``at``; it matches nothing.
    """
    fold = fold_case if ignore_case else str
    made = []
    for index, pattern in enumerate(patterns):
        ((kind, text),) = pattern.items()
        try:
            made.append(_matcher(kind, text, fold, re.IGNORECASE if ignore_case else 0))
        except (ValueError, re.error) as error:
            problems.add(f"{at}/{index}/{kind}", str(error))
            made.append(lambda other: False)
    return made


def _matcher(kind, text, fold, flags):
    if not text:
        raise ValueError("the pattern is empty")
    folded = fold(text)
    if kind == "exact":
        return lambda other: fold(other) == folded
    if kind == "suffix":
        return lambda other: fold(other).endswith(folded)
    if kind == "glob":
        return lambda other: glob(folded, fold(other))
    expression = re.compile(text, flags)
    return lambda other: expression.fullmatch(other) is not None
