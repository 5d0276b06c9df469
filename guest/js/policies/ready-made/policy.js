// Seven of the ready-made policies, in one component: the setting `rule` says which.
import { chooseBy } from "@vestibule/policy";

import accountRules from "./rules/account-rules.js";
import defaultGroups from "./rules/default-groups.js";
import domainRestriction from "./rules/domain-restriction.js";
import emergencyAccess from "./rules/emergency-access.js";
import groupMapping from "./rules/group-mapping.js";
import secondFactor from "./rules/second-factor.js";
import sessionTerms from "./rules/session-terms.js";

export default chooseBy("rule", {
    "account-rules": accountRules,
    "default-groups": defaultGroups,
    "domain-restriction": domainRestriction,
    "emergency-access": emergencyAccess,
    "group-mapping": groupMapping,
    "second-factor": secondFactor,
    "session-terms": sessionTerms,
});
