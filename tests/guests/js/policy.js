// Fails in the manner that its settings name, for the people whom they name.
import { definePolicy, valueOf } from "@vestibule/policy";

const deeper = (level) => 1 + deeper(level + 1);

const FAILURES = {
    recurse: () => deeper(0),
    loop: () => {
        for (;;);
    },
    hoard: () => {
        for (const all = []; ; ) all.push(new Uint8Array(1 << 20).fill(1));
    },
    throw: () => {
        throw new Error("not today");
    },
};

export default definePolicy({
    admit({ identity }, settings) {
        const name = valueOf(identity.claims, "preferred_username");
        for (const [failure, fail] of Object.entries(FAILURES)) if (settings[failure].includes(name)) fail();
        return "pass";
    },
});
