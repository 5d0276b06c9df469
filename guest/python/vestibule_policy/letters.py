"""Capital and small letters, where a name decides something.

``lower`` of a text makes a ``k`` of the Kelvin sign (U+212A). Whoever is called ``Kate`` with that sign at an upstream
would be ``kate`` here, who is somebody else. So there are two ways: ``lower`` for what gives something, ``loosest`` for
what keeps something out.
"""


def _small(letter):
    """One letter, small; one that shares its small letter with another, as the Kelvin sign does, stays as it is."""
    small = letter.lower()
    return small if small == letter or (len(small) == 1 and small.upper() == letter) else letter


def fold_case(text):
    """Small letters, letter by letter: what stands beside a letter changes nothing."""
    return text.lower() if text.isascii() else "".join(map(_small, text))


def lower(text):
    """In small letters, for a name that finds or grants something. Knows the Greek sigma at the end of a word, too."""
    shared = any(_small(letter) == letter != letter.lower() for letter in text)
    return fold_case(text) if shared else text.lower()


def loosest(text):
    """One text for all those that somebody might take for one who does not look at the case of letters.

    For names that are to be kept out, whoever compares them afterwards.
    """
    return "".join(letter.lower().upper().lower() for letter in text)
