import { allow, definePolicy, deny, domain, Domains } from "@vestibule/policy";

export default definePolicy({
    configure(settings, problems) {
        const text = (key) => settings[key] ?? "";
        const read = (key) => new Domains(text(key), (message) => problems.add(`/${key}`, message));
        const [allowed, denied] = [read("allowed-domains"), read("denied-domains")];
        if (problems.list.length === 0 && allowed.isEmpty) {
            // `;;` is a slip, not the wish to let everybody in.
            if (text("allowed-domains").trim() !== "") {
                problems.add("/allowed-domains", "the list names no domain");
            } else if (denied.isEmpty) {
                problems.add("/allowed-domains", "name the domains that may come in, or those that may not");
            }
        }
        return { allowed, denied, requireVerified: settings["require-verified"] ?? true };
    },

    admit({ identity: { email } }, { allowed, denied, requireVerified }) {
        if (!email) return deny("email-missing", "the upstream sent no email address");
        const { domain: name, reason } = domain(email.address);
        if (reason) return { deny: reason };
        if (requireVerified && !email.verified) {
            return deny("email-not-verified", "the upstream does not vouch for the email address");
        }
        if (denied.has(name)) return deny("domain-denied", name);
        if (!allowed.isEmpty && !allowed.has(name)) return deny("domain-not-allowed", name);
        return allow("domain-allowed", name);
    },
});
