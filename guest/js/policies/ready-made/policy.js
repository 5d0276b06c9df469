// The ready-made policies, in one component: the setting `rule` says which.
import { chooseBy } from "@vestibule/policy";

import accountRules from "./rules/account-rules.js";
import adminReauth from "./rules/admin-reauth.js";
import attributeMapping from "./rules/attribute-mapping.js";
import defaultGroups from "./rules/default-groups.js";
import domainRestriction from "./rules/domain-restriction.js";
import emergencyAccess from "./rules/emergency-access.js";
import groupMapping from "./rules/group-mapping.js";
import redirectionRules from "./rules/redirection-rules.js";
import secondFactor from "./rules/second-factor.js";
import sessionTerms from "./rules/session-terms.js";

export default chooseBy("rule", {
    "account-rules": accountRules,
    "admin-reauth": adminReauth,
    "attribute-mapping": attributeMapping,
    "default-groups": defaultGroups,
    "domain-restriction": domainRestriction,
    "emergency-access": emergencyAccess,
    "group-mapping": groupMapping,
    "redirection-rules": redirectionRules,
    "second-factor": secondFactor,
    "session-terms": sessionTerms,
});
