import { definePolicy, domain, Fault, isAttribute, isReserved, log, loosest, lower, trim } from "@vestibule/policy";

/** What an unverified address is good for; each goes further than the one before. */
const UNVERIFIED = ["ignore", "hand-over", "danger-match"];

const DEFAULTS = {
    enabled: true,
    "username-claim": "preferred_username",
    "email-claim": "email",
    "given-name-claim": "given_name",
    "family-name-claim": "family_name",
    "display-name-claim": "name",
    attributes: [],
    "match-by": "username",
    "match-claim": "",
    "unverified-email": "ignore",
    required: [],
    "lower-case-username": false,
    "lower-case-email": false,
    trim: true,
};

export default definePolicy({
    configure(written, problems) {
        const settings = { ...DEFAULTS, ...written };
        const { attributes, required, "match-by": by } = settings;
        if (by !== "none" && settings[`${by}-claim`] === "" && settings["match-claim"] === "") {
            problems.add("/match-claim", `matching by ${by} needs it, as \`${by}-claim\` is empty`);
        }
        required.forEach((field, index) => {
            if (required.indexOf(field) < index) problems.add(`/required/${index}`, "is there twice");
        });
        attributes.forEach(({ name, claim }, index) => {
            const at = `/attributes/${index}`;
            if (!isAttribute(name)) {
                problems.add(`${at}/name`, "an attribute's name is made of letters, digits and `-_.:/#~`");
            } else if (isReserved(name)) {
                problems.add(`${at}/name`, `\`${name}\` is the gateway's own`);
            } else if (attributes.findIndex((row) => row.name === name) < index) {
                problems.add(`${at}/name`, `\`${name}\` has two rows`);
            }
            if (claim === "") problems.add(`${at}/claim`, "name the claim that fills the attribute");
        });
        return settings;
    },

    profile({ identity, "so-far": profile }, settings) {
        setKey(profile, identity, settings);
        if (!settings.enabled) return profile;
        const fill = (field, value) => (profile[field] = value ?? profile[field]);
        fill("username", username(identity, settings["username-claim"], settings));
        fill("email", address(identity, settings["email-claim"], "hand-over", settings));
        for (const field of ["given-name", "family-name", "display-name"]) {
            fill(field, textOf(identity, settings[`${field}-claim`], settings));
        }
        for (const row of settings.attributes) {
            const value = attribute(identity, row, settings);
            if (value) {
                profile.attributes = profile.attributes.filter(({ name }) => name !== row.name);
                profile.attributes.push({ name: row.name, value });
            } else if (row.required) {
                throw new Fault("missing-claim", row.claim);
            }
        }
        const missing = settings.required.find((field) => profile[field] === null);
        if (missing) throw new Fault("missing-claim", settings[`${missing}-claim`]);
        return profile;
    },
});

/**
 * Sets what finds the account. Where mapping is off, the field that it is made of, too: the
 * application must still be told who it is.
 */
function setKey(profile, identity, settings) {
    const by = settings["match-by"];
    if (by === "none") return;
    const claim = settings["match-claim"] || settings[`${by}-claim`];
    const found =
        by === "username" ? username(identity, claim, settings) : address(identity, claim, "danger-match", settings);
    if (!settings.enabled) profile[by] = found ?? profile[by];
    profile["match-key"] = found === undefined ? null : { [by]: found };
}

const goesAsFarAs = (needed, settings) =>
    UNVERIFIED.indexOf(settings["unverified-email"]) >= UNVERIFIED.indexOf(needed);

/** One that is the unverified address is none: it would find the account of the address's true owner. */
function username(identity, claim, settings) {
    const text = textOf(identity, claim, settings);
    if (text === undefined) return undefined;
    if (isUnverifiedAddress(identity, text) && !goesAsFarAs("danger-match", settings)) {
        log.info("the username is an email address that nobody verified: not used");
        return undefined;
    }
    return settings["lower-case-username"] ? lower(text) : text;
}

/** A well-formed address; an unverified one only where the settings go at least as far as `needed`. */
function address(identity, claim, needed, settings) {
    const text = textOf(identity, claim, settings);
    if (text === undefined) return undefined;
    // Only the upstream's own statement on its `email` claim verifies an address.
    const isVerified = identity.email?.verified && isTheAddress(identity.email.address, text);
    if (!isVerified && !goesAsFarAs(needed, settings)) {
        log.info("nobody verified the email address: not used");
        return undefined;
    }
    if (domain(text).reason) {
        log.warn("the email address is malformed: not used");
        return undefined;
    }
    return settings["lower-case-email"] ? lower(text) : text;
}

/** The one text of `claim`, if it has one and no more. */
function textOf(identity, claim, settings) {
    const value = valueOf(identity, claim);
    const [[kind, found]] = Object.entries(value ?? { none: undefined });
    let text;
    if (kind === "text") text = found;
    else if (kind === "texts" && found.length === 1) text = found[0];
    else if (kind === "integer") return String(found);
    else return undefined;
    return trimmed(text, settings) || undefined;
}

/** The value of a custom attribute. */
function attribute(identity, row, settings) {
    const keepsUnverified = goesAsFarAs("hand-over", settings);
    const clean = (text) => {
        const left = trimmed(text, settings);
        if (left === "" || (!keepsUnverified && isUnverifiedAddress(identity, left))) return [];
        return [row["lower-case"] ? lower(left) : left];
    };
    const value = valueOf(identity, row.claim);
    if (value?.texts) return { texts: value.texts.flatMap(clean) };
    if (value?.text === undefined) return value;
    const [text] = clean(value.text);
    return text === undefined ? undefined : { text };
}

/** The value of a claim, with its kind. `sub` and `email` are fields of the identity. */
function valueOf({ subject, email, claims }, name) {
    if (name === "") return undefined;
    if (name === "sub") return { text: subject };
    if (name === "email") return email ? { text: email.address } : undefined;
    return claims.find((claim) => claim.name === name)?.value;
}

const trimmed = (text, settings) => (settings.trim ? trim(text) : text);

function isUnverifiedAddress({ email }, text) {
    return email !== null && !email.verified && passesFor(email.address, text);
}

/** Applications compare addresses without case, each in its own way, so a difference in case proves nothing. */
const passesFor = (one, other) => loosest(trim(one)) === loosest(trim(other));

/** Is it the address that was verified? Its case may differ, and nothing else. */
const isTheAddress = (verified, other) => lower(trim(verified)) === lower(trim(other));
