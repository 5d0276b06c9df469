import { definePolicy, reason } from "@vestibule/policy";

const isThere = (text) => (text ?? "").trim() !== "";

export default definePolicy({
    provision({ account, profile, granted }, settings) {
        return {
            "refuse-creation": account === null ? refusal(profile, granted, settings) : null,
            "update-attributes": settings["update-attributes"],
            reactivate: settings.reactivate,
        };
    },
});

/** Why a subject without an account gets none. */
function refusal(profile, granted, settings) {
    if (!settings["allow-creation"]) return reason("creation-not-allowed");
    const mapped = granted.some(({ because }) => because !== "default-group");
    if (settings["only-if-mapped"] && !mapped) return reason("no-mapped-group");
    const missing = [
        isThere(profile.username) ? [] : ["no username"],
        isThere(profile.email) ? [] : ["no email address"],
    ].flat();
    return missing.length > 0 ? reason("profile-incomplete", missing.join(", ")) : null;
}
