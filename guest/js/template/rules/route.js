// Which upstream authenticates the subject?
/** @import { Definition } from "@vestibule/policy" */

export default /** @satisfies {Definition<{ upstream: string }, string>} */ ({
    /** Reads the settings; notes what is wrong with them. */
    configure({ upstream }, problems) {
        if (upstream.trim() !== upstream) problems.add("/upstream", "begins or ends with a blank");
        return upstream;
    },

    route({ attempt }, upstream) {
        // One that is not open to this application, or that failed a moment ago, is no way on.
        if (!attempt.upstreams.includes(upstream) || attempt.failed.includes(upstream)) return "pass";
        return { redirect: { upstream, delay: 0, "acr-values": [] } };
    },
});
