// Names that the gateway's contracts let through, and globs over them.
import reserved from "./reserved-names.json" with { type: "json" };

const BYTES_MAX = 1024;

// Control characters, and what a terminal or a page would take as an instruction.
// The engine inside a component knows no `\p{…}`.
const ODD = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/u;

// What Rust and Unicode call a blank (White_Space), which is not quite what `trim` calls one.
const BLANK = "[\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const EDGES = new RegExp(`^${BLANK}+|${BLANK}+$`, "gu");

/** `text` without the blanks around it. */
export const trim = (text) => text.replace(EDGES, "");

/** The bytes of `text` in UTF-8. */
export function byteLength(text) {
    let length = 0;
    for (const letter of text) {
        const code = letter.codePointAt(0);
        length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    }
    return length;
}

/** What is wrong with a group, a username or another name of a decision; undefined where nothing is. */
export function nameProblem(name) {
    if (trim(name) === "") return "is empty";
    if (byteLength(name) > BYTES_MAX) return "has more than 1024 bytes";
    if (trim(name) !== name) return "begins or ends with a blank";
    return ODD.test(name) ? "has a control character" : undefined;
}

/** Is `name` one that no custom attribute may have, in whatever spelling? */
export function isReserved(name) {
    const folded = name.replace(/[A-Z]/g, (letter) => letter.toLowerCase()).replaceAll("_", "-");
    return reserved.some((own) => (own.endsWith("*") ? folded.startsWith(own.slice(0, -1)) : folded === own));
}

/** May `name` be a custom attribute's: letters, digits and `-_.:/#~` alone? */
export const isAttribute = (name) => /^[A-Za-z0-9\-_.:/#~]{1,128}$/.test(name);

/** Does the whole of `text` fit `pattern`, where `*` stands for any characters and `?` for one? */
export function glob(pattern, text) {
    const [signs, letters] = [[...pattern], [...text]];
    let [sign, letter, star, from] = [0, 0, -1, 0];
    while (letter < letters.length) {
        if (signs[sign] === "*") {
            [star, from] = [sign++, letter];
        } else if (sign < signs.length && (signs[sign] === "?" || signs[sign] === letters[letter])) {
            sign++;
            letter++;
        } else if (star >= 0) {
            // Let the last `*` take one character more: only that one is ever tried again.
            sign = star + 1;
            letter = ++from;
        } else {
            return false;
        }
    }
    while (signs[sign] === "*") sign++;
    return sign === signs.length;
}
