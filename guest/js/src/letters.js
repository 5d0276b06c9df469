// Capital and small letters, where a name decides something.
//
// `toLowerCase` makes a `k` of the Kelvin sign (U+212A). Whoever is called `Kate` with that sign at an upstream would be
// `kate` here, who is somebody else. So there are two ways: `lower` for what gives something, `loosest` for what keeps
// something out.

/** One letter, small; one that shares its small letter with another, as the Kelvin sign does, stays as it is. */
function small(letter) {
    const lower = letter.toLowerCase();
    return lower === letter || ([...lower].length === 1 && lower.toUpperCase() === letter) ? lower : letter;
}

/** Small letters, letter by letter: what stands beside a letter changes nothing. */
export const foldCase = (text) => Array.from(text, small).join("");

/** In small letters, for a name that finds or grants something. Knows the Greek sigma at the end of a word, too. */
export function lower(text) {
    const isShared = (letter) => small(letter) === letter && letter.toLowerCase() !== letter;
    return Array.from(text).some(isShared) ? foldCase(text) : text.toLowerCase();
}

/**
 * One text for all those that somebody might take for one who does not look at the case of letters: for names that are
 * to be kept out, whoever compares them afterwards.
 */
export const loosest = (text) =>
    Array.from(text, (letter) => letter.toLowerCase().toUpperCase().toLowerCase()).join("");
