// Paths as the host hands them over: in one form, in which some characters are still escaped.

/**
 * What the escapes of `path` stand for: `/my%20files` is `/my files`, as which an operator writes it. The host lets none
 * through that is a delimiter, so there is nothing in the outcome that would cut it differently.
 */
export const decodedPath = (path) =>
    path.replace(/%[0-7][0-9a-f]|(?:%[89a-f][0-9a-f])+/gi, (escaped) => {
        try {
            return decodeURIComponent(escaped);
        } catch {
            return "\ufffd";
        }
    });
