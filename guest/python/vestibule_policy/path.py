"""Paths as the host hands them over: in one form, in which some characters are still escaped."""

import re

_ESCAPED = re.compile("%[0-7][0-9a-f]|(?:%[89a-f][0-9a-f])+", re.IGNORECASE)


def decoded_path(path):
    """What the escapes of ``path`` stand for: ``/my%20files`` is ``/my files``, as which an operator writes it.

    The host lets none through that is a delimiter, so there is nothing in the outcome that would cut it differently.
    """
    return _ESCAPED.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "replace"), path)
