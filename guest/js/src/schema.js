// The contract's JSON Schema, as far as it uses JSON Schema.
import schema from "./policy.schema.json" with { type: "json" };

/** The hooks, in the order of a login. */
export const HOOKS = ["route", "admit", "profile", "groups", "provision", "session", "access", "logout"];

/** A function for each definition: to walk the schema anew for each value would cost every login. */
const CHECKS = {};
for (const [name, definition] of Object.entries(schema.$defs)) CHECKS[name] = compile(definition);

/**
 * Holds `value` to the definition `name`, such as `admit.answer`.
 *
 * @returns {{ pointer: string, message: string } | undefined} the first thing that does not fit
 */
export function check(name, value) {
    const found = CHECKS[name](value);
    return found && { pointer: found.path.map((part) => `/${part}`).join(""), message: found.message };
}

/** What a value must be, as a function that finds what does not fit, with the way to it. */
function compile(schema) {
    if (schema.$ref) {
        const name = schema.$ref.slice("#/$defs/".length);
        return (value) => CHECKS[name](value);
    }
    if (schema.anyOf) return compileAny(schema.anyOf);
    if (schema.enum) {
        const names = new Set(schema.enum);
        return (value) => (names.has(value) ? undefined : wrong(`one of ${schema.enum.join(", ")}`, value));
    }
    switch (schema.type) {
        case "object":
            return compileObject(schema);
        case "array":
            return compileArray(schema);
        case "integer": {
            const { minimum = -Infinity, maximum = Infinity } = schema;
            const expected = schema.maximum ? `a whole number from 0 to ${maximum}` : "a whole number";
            const fits = (value) => Number.isInteger(value) && value >= minimum && value <= maximum;
            return (value) => (fits(value) ? undefined : wrong(expected, value));
        }
        case "number":
            return (value) => (Number.isFinite(value) ? undefined : wrong("a number", value));
        case "null":
            return (value) => (value === null ? undefined : wrong("null", value));
        default: {
            const { type } = schema;
            return (value) => (typeof value === type ? undefined : wrong(`a ${type}`, value));
        }
    }
}

function compileArray({ items }) {
    const itemFits = compile(items);
    return (value) => {
        if (!Array.isArray(value)) return wrong("an array", value);
        for (let index = 0; index < value.length; index++) {
            const found = itemFits(value[index]);
            if (found) return below(index, found);
        }
        return undefined;
    };
}

function compileObject({ properties, required }) {
    const members = new Map(Object.entries(properties).map(([key, member]) => [key, compile(member)]));
    return (value) => {
        if (kind(value) !== "an object") return wrong("an object", value);
        for (const key of required) {
            if (value[key] === undefined) return { path: [], message: `\`${key}\` is missing` };
        }
        for (const key of Object.keys(value)) {
            const member = value[key];
            if (member === undefined) continue;
            const fits = members.get(key);
            if (!fits) return { path: [key], message: `no such key; expected ${[...members.keys()].join(", ")}` };
            const found = fits(member);
            if (found) return below(key, found);
        }
        return undefined;
    };
}

/** A variant: what is told is about the case that was meant. */
function compileAny(schemas) {
    const branches = schemas.map((schema) => [schema, compile(schema)]);
    const names = schemas.flatMap((schema) => schema.enum ?? schema.required ?? schema.type ?? []);
    return (value) => {
        for (const [schema, fits] of branches) {
            const found = fits(value);
            if (!found) return undefined;
            const isMeant = schema.required?.length === 1 && kind(value) === "an object" && schema.required[0] in value;
            if (isMeant || (schema.$ref !== undefined && value !== null)) return found;
        }
        return wrong(`one of ${names.join(", ")}`, value);
    };
}

function below(part, found) {
    return { path: [part, ...found.path], message: found.message };
}

function wrong(expected, value) {
    return { path: [], message: `expected ${expected}, found ${kind(value)}` };
}

function kind(value) {
    if (value === null) return "null";
    if (Array.isArray(value)) return "an array";
    return typeof value === "object" ? "an object" : typeof value === "undefined" ? "nothing" : `a ${typeof value}`;
}
