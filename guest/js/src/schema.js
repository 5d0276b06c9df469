// The contract's JSON Schema, as far as it uses JSON Schema.
import schema from "./policy.schema.json" with { type: "json" };

const DEFS = schema.$defs;

/** The hooks, in the order of a login. */
export const HOOKS = ["route", "admit", "profile", "groups", "provision", "session", "access", "logout"];

/**
 * Holds `value` to the definition `name`, such as `admit.answer`.
 *
 * @returns {{ pointer: string, message: string } | undefined} the first thing that does not fit
 */
export function check(name, value) {
    return fit(DEFS[name], value, "");
}

function fit(schema, value, at) {
    if (schema.$ref) return fit(DEFS[schema.$ref.slice("#/$defs/".length)], value, at);
    if (schema.anyOf) return fitAny(schema.anyOf, value, at);
    if (schema.enum) return schema.enum.includes(value) ? undefined : wrong(at, `one of ${schema.enum.join(", ")}`, value);
    switch (schema.type) {
        case "object":
            return fitObject(schema, value, at);
        case "array":
            if (!Array.isArray(value)) return wrong(at, "an array", value);
            for (let index = 0; index < value.length; index++) {
                const problem = fit(schema.items, value[index], `${at}/${index}`);
                if (problem) return problem;
            }
            return undefined;
        case "integer":
            return Number.isInteger(value) && value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity)
                ? undefined
                : wrong(at, schema.maximum ? `a whole number from 0 to ${schema.maximum}` : "a whole number", value);
        case "number":
            return Number.isFinite(value) ? undefined : wrong(at, "a number", value);
        case "null":
            return value === null ? undefined : wrong(at, "null", value);
        default:
            return typeof value === schema.type ? undefined : wrong(at, `a ${schema.type}`, value);
    }
}

function fitObject(schema, value, at) {
    if (kind(value) !== "an object") return wrong(at, "an object", value);
    for (const key of schema.required) {
        if (value[key] === undefined) return { pointer: at, message: `\`${key}\` is missing` };
    }
    for (const key of Object.keys(value)) {
        if (value[key] === undefined) continue;
        if (!Object.hasOwn(schema.properties, key)) {
            const expected = Object.keys(schema.properties).join(", ");
            return { pointer: `${at}/${key}`, message: `no such key; expected ${expected}` };
        }
        const problem = fit(schema.properties[key], value[key], `${at}/${key}`);
        if (problem) return problem;
    }
    return undefined;
}

/** A variant: what is told is about the case that was meant. */
function fitAny(schemas, value, at) {
    let expected = [];
    for (const schema of schemas) {
        const problem = fit(schema, value, at);
        if (!problem) return undefined;
        const names = schema.enum ?? schema.required;
        const isMeant = schema.required?.length === 1 && kind(value) === "an object" && schema.required[0] in value;
        const isOnlyOther = schema.$ref !== undefined && value !== null;
        if (isMeant || isOnlyOther) return problem;
        expected = expected.concat(names ?? schema.type ?? []);
    }
    return wrong(at, `one of ${expected.join(", ")}`, value);
}

function wrong(pointer, expected, value) {
    return { pointer, message: `expected ${expected}, found ${kind(value)}` };
}

function kind(value) {
    if (value === null) return "null";
    if (Array.isArray(value)) return "an array";
    return typeof value === "object" ? "an object" : typeof value === "undefined" ? "nothing" : `a ${typeof value}`;
}
