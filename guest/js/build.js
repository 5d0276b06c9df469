// From a policy's source to a component: one file by esbuild, then componentize-js. Started by
// `vestibule policy build`, which adds the manifest and the cases.
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { componentize, version } from "@bytecodealliance/componentize-js";
import { build as bundle } from "esbuild";

/** Features of the JavaScript engine that ask for WASI, which no policy gets. */
const DISABLED = ["stdio", "random", "clocks", "http", "fetch-event"];

/**
 * Makes a component of the policy that the file `entry` exports as its default.
 *
 * @param {{ entry: string, wit: string, world: string, out: string, settings: object }} order
 */
export async function build({ entry, wit, world, out, settings }) {
    const source = await bundled(entry, settings);
    // The engine is set up anew for each component, which takes its time: not twice for the
    // same source.
    const contract = await readFile(join(wit, "policy.wit"));
    const key = createHash("sha256").update(`${version} ${world}\n`).update(contract).update(source).digest("hex");
    const keyFile = `${out}.key`;
    const made = await Promise.all([readFile(keyFile, "utf8"), readFile(out)]).catch(() => []);
    if (made.length > 0 && made[0] === keyed(key, made[1])) return;

    const folder = await mkdtemp(join(tmpdir(), "vestibule-"));
    try {
        const sourcePath = join(folder, "policy.js");
        await writeFile(sourcePath, source);
        const { component, imports } = await componentize({
            sourcePath,
            witPath: wit,
            worldName: world,
            disableFeatures: DISABLED,
        });
        const others = imports.filter(([name]) => !name.startsWith("vestibule:policy/log@"));
        if (others.length > 0) throw new Error(`the component asks for ${others.map(([name]) => name).join(", ")}`);
        await writeFile(out, component);
        await writeFile(keyFile, keyed(key, component));
    } finally {
        await rm(folder, { recursive: true, force: true });
    }
}

/** The key, and that the component is the one that was made under it. */
function keyed(key, component) {
    return `${key} ${createHash("sha256").update(component).digest("hex")}\n`;
}

/** A policy that has no SDK installed is made with the one that this file belongs to. */
const ownSdk = {
    name: "own-sdk",
    setup(builder) {
        builder.onResolve({ filter: /^@vestibule\/policy(\/|$)/ }, async ({ path, ...order }) => {
            if (order.pluginData === ownSdk) return undefined;
            const { kind, importer, resolveDir, with: attributes } = order;
            const from = (folder) =>
                builder.resolve(path, { kind, importer, resolveDir: folder, with: attributes, pluginData: ownSdk });
            const found = await from(resolveDir);
            return found.errors.length > 0 ? from(dirname(fileURLToPath(import.meta.url))) : found;
        });
    },
};

/** All that `entry` imports in one file, with the exports of the contract. */
async function bundled(entry, settings) {
    const glue = `
        import { write } from "vestibule:policy/log@0.1.0";
        import { component, rehearse } from "@vestibule/policy/component";
        import policy from ${JSON.stringify(entry)};
        rehearse(policy, ${JSON.stringify(settings)});
        export const { settings, json } = component(policy, write);
    `;
    const result = await bundle({
        stdin: { contents: glue, resolveDir: dirname(entry), sourcefile: "component.js", loader: "js" },
        absWorkingDir: dirname(entry),
        bundle: true,
        charset: "utf8",
        external: ["vestibule:*"],
        format: "esm",
        logLevel: "silent",
        plugins: [ownSdk],
        platform: "neutral",
        target: "es2022",
        write: false,
    }).catch((error) => {
        // esbuild has said where and why; its own stack says nothing to an author.
        const words = error.errors?.map(({ location, text }) =>
            location ? `${location.file}:${location.line}:${location.column + 1}: ${text}` : text,
        );
        throw words ? new Error(words.join("\n")) : error;
    });
    return result.outputFiles[0].text;
}
