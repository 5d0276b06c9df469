// The exports of the contract's world `json-policy`, made of a policy.
import { setLog } from "./index.js";
import { start } from "./testing.js";

/**
 * Asks `policy` each of its hooks once, with the manifest's default settings and for nothing: what
 * the engine compiles on first use then is in the component, and costs no login.
 */
export function rehearse(policy, settings) {
    try {
        const rehearsed = start(policy, settings);
        for (const hook of rehearsed.hooks) rehearsed[hook]();
    } catch {
        // The defaults need not be settings with which it can decide.
    }
}

export function component(policy, write) {
    setLog(write);
    let running;
    return {
        settings: {
            configure(json) {
                const started = configured(policy, json);
                // The generated bindings take what is thrown for the error of the result.
                if (started.problems) throw started.problems;
                running = started;
            },
        },
        json: {
            hooks: () => running.hooks,
            ask: (hook, question) => JSON.stringify(running.ask(hook, JSON.parse(question))),
        },
    };
}

function configured(policy, json) {
    try {
        return policy.start(JSON.parse(json));
    } catch (error) {
        return { problems: [{ path: "", message: `configure threw ${error}` }] };
    }
}
