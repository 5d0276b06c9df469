"""Where a login goes, and what is wrong with the settings that say so."""

import re

#: The code of a refusal that names none.
REFUSED = "login-refused"

#: Nobody waits longer than an hour, in seconds.
DELAY_MAX = 3600

_KEBAB = re.compile("[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def check_delay(problems, at, delay):
    if delay > DELAY_MAX:
        problems.add(at, f"nobody waits longer than {DELAY_MAX} s")


def check_target(problems, at, target):
    """What a target says must belong to the place where it leads."""
    to, upstream, reason = target.get("to", "auto"), target.get("upstream"), target.get("reason")
    acr_values, delay = target.get("acr-values", []), target.get("delay-s")
    if to == "upstream" and not upstream:
        problems.add(f"{at}/upstream", "name the upstream")
    elif to != "upstream" and upstream is not None:
        problems.add(f"{at}/upstream", 'goes with `to = "upstream"` only')
    if to != "choose" and target.get("upstreams"):
        problems.add(f"{at}/upstreams", 'goes with `to = "choose"` only')
    leaves = to in ("upstream", "auto", "choose")
    is_there = {
        "delay-s": delay is not None,
        "acr-values": bool(acr_values),
        "max-age-s": target.get("max-age-s") is not None,
    }
    for key, there in is_there.items():
        if there and not leaves:
            problems.add(f"{at}/{key}", 'goes with `to = "upstream"`, `"auto"` or `"choose"` only')
    for index, acr in enumerate(acr_values):
        problems.check_acr(f"{at}/acr-values/{index}", acr)
    check_delay(problems, f"{at}/delay-s", delay or 0)
    if reason is None:
        return
    if to != "refuse":
        problems.add(f"{at}/reason", 'goes with `to = "refuse"` only')
    elif not _KEBAB.fullmatch(reason):
        problems.add(f"{at}/reason", "expected kebab-case, such as `contract-ended`")
