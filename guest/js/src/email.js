// Email addresses and their domains, compared the one way that leaves no gap: as A-labels
// (RFC 5890 section 2.3.2.1) without case. What could be read in two ways is refused, never guessed
// at. The same rules as in the other languages' SDKs, held to the same cases.
import { byteLength, trim } from "./names.js";

/** RFC 5321 section 4.5.3.1.1, in bytes. */
const LOCAL_BYTES_MAX = 64;

/** RFC 1035 section 2.3.4. */
const DOMAIN_BYTES_MAX = 253;
const LABEL_BYTES_MAX = 63;

// Characters that no mailbox needs, and that a reader may skip, reorder or take for syntax.
const ODD =
    /["(),:;<>[\\\]\x00-\x20\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\u{e0000}-\u{e0fff}]/u;

// Letters in lower case which IDNA 2008 permits, which NFKC leaves alone, and which do not combine
// with what stands before them.
const LETTERS =
    /^[a-z0-9\-\u00df-\u00f6\u00f8-\u012f\u0131\u0135-\u013e\u0142-\u0148\u014b-\u017e\u03ac-\u03ce\u0430-\u045f\u048b-\u052f\u0561-\u0586\u05d0-\u05ea\u0620-\u063f\u0641-\u064a\u0671-\u0674\u0679-\u06d3\u10d0-\u10fa\u3041-\u3096\u30a1-\u30fa\u30fc-\u30fe\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]+$/u;

const A_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The domain of an address, or the reason why it has none. */
export function domain(address) {
    const invalid = (detail) => ({ reason: { code: "invalid-email", detail } });
    const at = address.indexOf("@");
    if (at < 0) return invalid("the address has no @");
    const [local, rest] = [address.slice(0, at), address.slice(at + 1)];
    if (rest.includes("@")) return invalid("the address has more than one @");
    if (local === "") return invalid("nothing stands before the @");
    if (byteLength(local) > LOCAL_BYTES_MAX) return invalid("what stands before the @ is too long");
    if (ODD.test(local)) return invalid("the address has a character that does not belong there");
    const name = normalizeDomain(rest);
    return name === undefined ? invalid("what follows the @ is no domain") : { domain: name };
}

/** A domain as A-labels in lower case; undefined where it is none, or has no one canonical form. */
export function normalizeDomain(name) {
    const labels = [];
    for (const label of name.split(".")) {
        const made = aLabel(label);
        if (made === undefined || !A_LABEL.test(made)) return undefined;
        labels.push(made);
    }
    const normal = labels.join(".");
    return normal.length <= DOMAIN_BYTES_MAX ? normal : undefined;
}

function aLabel(label) {
    // Not `toLowerCase` alone: it makes a `k` of the Kelvin sign, and two letters of others.
    if (/^[\x00-\x7f]*$/.test(label)) return label.toLowerCase();
    if (label.length > LABEL_BYTES_MAX) return undefined;
    let lower = "";
    for (const letter of label) {
        const small = letter.toLowerCase();
        const isOne = [...small].length === 1 && LETTERS.test(small) && !FOREIGN_CAPITALS.test(letter);
        if (!isOne) return undefined;
        lower += small;
    }
    // RFC 5891 section 4.2.3.1.
    if (lower.slice(2, 4) === "--" || lower.startsWith("-") || lower.endsWith("-")) return undefined;
    return `xn--${punycode([...lower].map((letter) => letter.codePointAt(0)))}`;
}

// Signs for units and the like, whose small letter is another letter's; the capital sharp s; Georgian
// capitals, which domains do not have.
const FOREIGN_CAPITALS = /[\u0130\u1e9e\u1c90-\u1cbf\u2126\u212a\u212b\u03f4\u01c4-\u01f3]/u;

/** RFC 3492 section 6.3, with the parameters of section 5. */
function punycode(codes) {
    const [BASE, T_MIN, T_MAX, SKEW, DAMP] = [36, 1, 26, 38, 700];
    const basic = codes.filter((code) => code < 0x80);
    let output = String.fromCharCode(...basic) + (basic.length > 0 ? "-" : "");
    let [code, delta, bias, handled] = [0x80, 0, 72, basic.length];
    const digit = (value) => String.fromCharCode(value < 26 ? 97 + value : 22 + value);
    while (handled < codes.length) {
        const next = Math.min(...codes.filter((other) => other >= code));
        delta += (next - code) * (handled + 1);
        code = next;
        for (const other of codes) {
            if (other < code) delta++;
            if (other !== code) continue;
            let rest = delta;
            for (let k = BASE; ; k += BASE) {
                const threshold = Math.min(Math.max(k - bias, T_MIN), T_MAX);
                if (rest < threshold) break;
                output += digit(threshold + ((rest - threshold) % (BASE - threshold)));
                rest = Math.floor((rest - threshold) / (BASE - threshold));
            }
            output += digit(rest);
            delta = Math.floor(delta / (handled === basic.length ? DAMP : 2));
            handled++;
            delta += Math.floor(delta / handled);
            let k = 0;
            for (; delta > ((BASE - T_MIN) * T_MAX) / 2; k += BASE) delta = Math.floor(delta / (BASE - T_MIN));
            bias = k + Math.floor(((BASE - T_MIN + 1) * delta) / (delta + SKEW));
            delta = 0;
        }
        delta++;
        code++;
    }
    return output;
}

/** A list of domains as operators write it: `a.com; .b.org`. `.b.org` is every domain below it. */
export class Domains {
    #exact = new Set();
    #below = new Set();

    /** Reads `list`; what is wrong with it goes to `report`, a message for each part. */
    constructor(list, report) {
        for (const part of list.split(";").map(trim)) {
            if (part === "") continue;
            const isBelow = part.startsWith(".");
            const name = normalizeDomain(isBelow ? part.slice(1) : part);
            if (name === undefined) report(explain(part));
            else (isBelow ? this.#below : this.#exact).add(name);
        }
    }

    get isEmpty() {
        return this.#exact.size === 0 && this.#below.size === 0;
    }

    /** Is `name` in the list? It must be normalized. */
    has(name) {
        if (this.#exact.has(name)) return true;
        if (this.#below.size === 0) return false;
        for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
            if (this.#below.has(name.slice(dot + 1))) return true;
        }
        return false;
    }
}

function explain(part) {
    if (part.startsWith("*.")) return `\`${part}\` is no domain; every subdomain is written \`${part.slice(1)}\``;
    if (part.includes("@")) return `\`${part}\` is no domain; leave out the \`@\` and what stands before it`;
    if (/[, ]/.test(part)) return `\`${part}\` is no domain; domains are separated by \`;\``;
    return `\`${part}\` is no domain`;
}
