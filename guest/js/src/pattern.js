// Patterns as operators write them: a table with one key, such as `{ suffix = "-admins" }`.
import { foldCase } from "./letters.js";
import { glob } from "./names.js";

/**
 * Makes `patterns` ready to match: a function for each, which takes a text. `exact` and `glob` hold for the
 * whole text, `suffix` for its end, `regex` (a regular expression of JavaScript's) for the whole. What is wrong with
 * one is noted in `problems` at its place below the JSON pointer `at`; it matches nothing.
 */
export function matchers(patterns, at, problems, { ignoreCase = false } = {}) {
    const fold = ignoreCase ? foldCase : (text) => text;
    return patterns.map((pattern, index) => {
        const [[kind, text]] = Object.entries(pattern);
        const refuse = (message) => {
            problems.add(`${at}/${index}/${kind}`, message);
            return () => false;
        };
        if (text === "") return refuse("the pattern is empty");
        const folded = fold(text);
        if (kind === "exact") return (other) => fold(other) === folded;
        if (kind === "suffix") return (other) => fold(other).endsWith(folded);
        if (kind === "glob") return (other) => glob(folded, fold(other));
        const flags = ignoreCase ? "iu" : "u";
        try {
            // Alone first: `a)|(b` is no expression, though it is one between parentheses.
            new RegExp(text, flags);
            const expression = new RegExp(`^(?:${text})$`, flags);
            return (other) => expression.test(other);
        } catch (error) {
            return refuse(error.message);
        }
    });
}
