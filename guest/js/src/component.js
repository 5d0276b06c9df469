// The exports of the contract's world `json-policy`, made of a policy.
import { setLog } from "./index.js";

export function component(policy, write) {
    setLog(write);
    let running;
    return {
        settings: {
            configure(json) {
                const started = policy.start(JSON.parse(json));
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
