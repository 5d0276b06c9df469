"""Names that the gateway's contracts let through, and globs over them."""

import json
import re
from pathlib import Path

_BYTES_MAX = 1024

# Names that are the gateway's own; ``*`` stands for any rest.
_RESERVED = json.loads(Path(__file__).with_name("reserved-names.json").read_text("utf-8"))

_ATTRIBUTE = re.compile("[A-Za-z0-9\\-_.:/#~]{1,128}")

# Control characters, and what a terminal or a page would take as an instruction.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")

# What Unicode calls a blank (White_Space), which is not quite what `str.strip` takes off.
BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


def trim(text):
    """``text`` without the blanks around it."""
    return text.strip(BLANKS)


def name_problem(name):
    """What is wrong with a group, a username or another name of a decision; None where nothing is."""
    if not trim(name):
        return "is empty"
    if len(name.encode()) > _BYTES_MAX:
        return "has more than 1024 bytes"
    if trim(name) != name:
        return "begins or ends with a blank"
    return "has a control character" if _ODD.search(name) else None


def is_reserved(name):
    """Is ``name`` one that no custom attribute may have, in whatever spelling?"""
    folded = re.sub("[A-Z]", lambda letter: letter[0].lower(), name).replace("_", "-")
    return any(folded.startswith(own[:-1]) if own.endswith("*") else folded == own for own in _RESERVED)


def is_attribute(name):
    """May ``name`` be a custom attribute's: letters, digits and ``-_.:/#~`` alone?"""
    return _ATTRIBUTE.fullmatch(name) is not None


def glob(pattern, text):
    """Does the whole of ``text`` fit ``pattern``, where ``*`` stands for any characters and ``?`` for one?"""
    sign = letter = start = 0
    star = -1
    while letter < len(text):
        if sign < len(pattern) and pattern[sign] == "*":
            star, start, sign = sign, letter, sign + 1
        elif sign < len(pattern) and pattern[sign] in ("?", text[letter]):
            sign, letter = sign + 1, letter + 1
        elif star >= 0:
            # Let the last `*` take one character more: only that one is ever tried again.
            start += 1
            sign, letter = star + 1, start
        else:
            return False
    return not pattern[sign:].strip("*")
