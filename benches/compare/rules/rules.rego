package login

import rego.v1

# The groups; undefined for whoever may not come in.
decision := groups if allow

domain := split(input.email.address, "@")[1]

allow if {
	input.email.verified
	some allowed in data.domains
	domain == allowed
}

allow if {
	input.email.verified
	some allowed in data.domains
	endswith(domain, concat("", [".", allowed]))
}

# The rows by their `from`: looked up, not searched.
mapped contains group if {
	some name in input.groups
	some group in data.rows[name]
}

groups := mapped if count(mapped) > 0

groups := {data.default} if count(mapped) == 0
