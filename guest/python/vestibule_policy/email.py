"""Email addresses and their domains, compared the one way that leaves no gap.

As A-labels (RFC 5890 section 2.3.2.1) without case. What could be read in two ways is refused, never
guessed at. The same rules as in the other languages' SDKs, held to the same cases.
"""

import re
from encodings.punycode import punycode_encode

from .names import BLANKS, trim

#: RFC 5321 section 4.5.3.1.1, in bytes.
_LOCAL_BYTES_MAX = 64

#: RFC 1035 section 2.3.4.
_DOMAIN_BYTES_MAX = 253
_LABEL_BYTES_MAX = 63

# Characters that no mailbox needs, and that a reader may skip, reorder or take for syntax.
_ODD = re.compile(
    "[\"(),:;<>\\[\\\\\\]" + BLANKS + "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff0-\uffff\U000e0000-\U000e0fff]"
)

# Letters in lower case which IDNA 2008 permits, which NFKC leaves alone, and which do not combine
# with what stands before them.
_LETTERS = re.compile(
    "[a-z0-9\\-"
    "\u00df-\u00f6\u00f8-\u012f\u0131\u0135-\u013e\u0142-\u0148\u014b-\u017e\u03ac-\u03ce"
    "\u0430-\u045f\u048b-\u052f\u0561-\u0586\u05d0-\u05ea\u0620-\u063f\u0641-\u064a\u0671-\u0674"
    "\u0679-\u06d3\u10d0-\u10fa\u3041-\u3096\u30a1-\u30fa\u30fc-\u30fe\u3005-\u3007\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7a3"
    "]"
)

# Signs for units and the like, whose small letter is another letter's; the capital sharp s; digraphs;
# Georgian capitals, which domains do not have.
_FOREIGN_CAPITALS = re.compile("[\u0130\u1e9e\u1c90-\u1cbf\u2126\u212a\u212b\u03f4\u01c4-\u01f3]")

_A_LABEL = re.compile("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def domain(address):
    """The domain of an address and None, or None and the reason why it has none."""

    def invalid(detail):
        return None, {"code": "invalid-email", "detail": detail}

    local, at, rest = address.partition("@")
    if not at:
        return invalid("the address has no @")
    if "@" in rest:
        return invalid("the address has more than one @")
    if not local:
        return invalid("nothing stands before the @")
    if len(local.encode()) > _LOCAL_BYTES_MAX:
        return invalid("what stands before the @ is too long")
    if _ODD.search(local):
        return invalid("the address has a character that does not belong there")
    name = normalize_domain(rest)
    return invalid("what follows the @ is no domain") if name is None else (name, None)


def normalize_domain(name):
    """A domain as A-labels in lower case; None where it is none, or has no one canonical form."""
    labels = []
    for label in name.split("."):
        made = _a_label(label)
        if made is None or not _A_LABEL.fullmatch(made):
            return None
        labels.append(made)
    normal = ".".join(labels)
    return normal if len(normal) <= _DOMAIN_BYTES_MAX else None


def _a_label(label):
    if label.isascii():
        return label.lower()
    if len(label) > _LABEL_BYTES_MAX:
        return None
    lower = ""
    for letter in label:
        small = letter.lower()
        if len(small) != 1 or not _LETTERS.fullmatch(small) or _FOREIGN_CAPITALS.fullmatch(letter):
            return None
        lower += small
    # RFC 5891 section 4.2.3.1.
    if lower[2:4] == "--" or lower.startswith("-") or lower.endswith("-"):
        return None
    return "xn--" + punycode_encode(lower).decode("ascii")


class Domains:
    """A list of domains as operators write it: ``a.com; .b.org``.

    ``.b.org`` is every domain below it. What is wrong with the list goes to ``report``, a message for
    each part.
    """

    def __init__(self, text, report):
        self._exact, self._below = set(), set()
        for part in map(trim, text.split(";")):
            if not part:
                continue
            is_below = part.startswith(".")
            name = normalize_domain(part[1:] if is_below else part)
            if name is None:
                report(_explain(part))
            else:
                (self._below if is_below else self._exact).add(name)

    def __bool__(self):
        return bool(self._exact or self._below)

    def __contains__(self, name):
        """Is ``name`` in the list? It must be normalized."""
        if name in self._exact:
            return True
        labels = name.split(".")
        return any(".".join(labels[start:]) in self._below for start in range(1, len(labels)))


def _explain(part):
    if part.startswith("*."):
        return f"`{part}` is no domain; every subdomain is written `{part[1:]}`"
    if "@" in part:
        return f"`{part}` is no domain; leave out the `@` and what stands before it"
    if "," in part or " " in part:
        return f"`{part}` is no domain; domains are separated by `;`"
    return f"`{part}` is no domain"
