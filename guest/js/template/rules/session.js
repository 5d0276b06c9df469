// For how long, and on what terms?
/** @import { Definition } from "@vestibule/policy" */

export default /** @satisfies {Definition<{ "lifetime-s": number }, number>} */ ({
    /** Reads the settings; notes what is wrong with them. */
    configure({ "lifetime-s": lifetime }, problems) {
        if (lifetime === 0) problems.add("/lifetime-s", "a session of no length lets nobody in");
        return lifetime;
    },

    session({ "so-far": soFar }, most) {
        const lifetime = Math.min(soFar.lifetime, most);
        return { lifetime, idle: Math.min(soFar.idle, lifetime), remember: soFar.remember };
    },
});
