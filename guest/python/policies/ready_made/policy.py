"""The ready-made policies, in one component: the setting ``rule`` says which."""

from vestibule_policy import choose_by

from rules.account_rules import AccountRules
from rules.admin_reauth import AdminReauth
from rules.attribute_mapping import AttributeMapping
from rules.default_groups import DefaultGroups
from rules.domain_restriction import DomainRestriction
from rules.emergency_access import EmergencyAccess
from rules.group_mapping import GroupMapping
from rules.redirection_rules import RedirectionRules
from rules.second_factor import SecondFactor
from rules.session_terms import SessionTerms

POLICY = choose_by("rule", {
    "account-rules": AccountRules,
    "admin-reauth": AdminReauth,
    "attribute-mapping": AttributeMapping,
    "default-groups": DefaultGroups,
    "domain-restriction": DomainRestriction,
    "emergency-access": EmergencyAccess,
    "group-mapping": GroupMapping,
    "redirection-rules": RedirectionRules,
    "second-factor": SecondFactor,
    "session-terms": SessionTerms,
})
