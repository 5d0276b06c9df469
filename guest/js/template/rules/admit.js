// May this identity log in?
/** @import { Definition } from "@vestibule/policy" */
import { allow, deny, domain, Domains } from "@vestibule/policy";

export default /** @satisfies {Definition<{ "allowed-domains": string }, Domains>} */ ({
    /** Reads the settings; notes what is wrong with them. */
    configure(settings, problems) {
        return new Domains(settings["allowed-domains"], (message) => problems.add("/allowed-domains", message));
    },

    admit({ identity: { email } }, allowed) {
        if (!email) return deny("email-missing", "the upstream sent no address");
        if (!email.verified) return deny("email-not-verified", "the upstream does not vouch for the address");
        const { domain: name, reason } = domain(email.address);
        if (reason) return { deny: reason };
        return allowed.has(name) ? allow("domain-allowed", name) : deny("domain-not-allowed", name);
    },
});
