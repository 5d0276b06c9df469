import re

from vestibule_policy import Fault, log, loosest, lower, matchers, name_problem, policy, reason, value_of


def spelling(name):
    """Names that are excluded are compared without the blanks around them, and as loosely as any application might."""
    return loosest(name.strip())


@policy
class GroupMapping:
    def configure(self, settings, problems):
        self.settings = settings
        self.fold = lower if settings["fold-case"] else str
        self.rows = {}
        for index, row in enumerate(settings["manual"]):
            at = f"/manual/{index}"
            if problem := name_problem(row["group"]):
                problems.add(f"{at}/group", f"a group {problem}")
            if not row["from"]:
                problems.add(f"{at}/from", "name at least one of the upstream's groups")
            for number, name in enumerate(row["from"]):
                if not name:
                    problems.add(f"{at}/from/{number}", "a group has a name")
                self.rows.setdefault(self.fold(name), []).append(index)
        self.include = matchers(settings["include"], "/include", problems, ignore_case=settings["fold-case"])
        for index, name in enumerate(settings["exclude"]):
            if not name.strip():
                problems.add(f"/exclude/{index}", "a group has a name")
        self.exclude = [spelling(name) for name in settings["exclude"]]
        pointer = settings["groups-pointer"]
        if pointer and not pointer.startswith("/"):
            problems.add("/groups-pointer", "a JSON pointer begins with `/`")
        elif pointer and not settings["groups-claim"]:
            problems.add("/groups-pointer", "points into the claim `groups-claim`, which is not named")

    def groups(self, identity, account, so_far, **_):
        settings, plan = self.settings, so_far
        if not settings["enabled"]:
            return plan
        current = account["groups"] if account else []
        spelled = [group for group in current if spelling(group) in self.exclude]
        for name in settings["exclude"] + spelled:
            if name not in plan["exclude"]:
                plan["exclude"].append(name)
        plan["create-missing"] |= settings["create-missing"]
        plan["leave"] |= settings["disabled-for-existing"]
        names, nothing = reported(identity, settings)
        if names is None:
            # No list takes nothing from anybody, whatever an earlier policy wanted.
            log.info(f"groups claim {nothing}: no group is mapped, none is taken")
            plan["replace"] = False
            return plan
        plan["replace"] |= not settings["keep-existing"]
        self.map_manually(plan, names)
        if settings["on-the-fly"]:
            self.map_on_the_fly(plan, names, current)
        return plan

    def is_excluded(self, group, plan):
        name = spelling(group)
        return name in self.exclude or any(spelling(other) == name for other in plan["exclude"])

    def map_manually(self, plan, names):
        """Grants the group of every row that lists a reported group, in the order of the rows."""
        hit = {row for name in names for row in self.rows.get(self.fold(name), ())}
        granted = {given["group"] for given in plan["grants"]}
        for index, row in enumerate(self.settings["manual"]):
            group = row["group"]
            if index in hit and group not in granted and not self.is_excluded(group, plan):
                granted.add(group)
                plan["grants"].append({"group": group, "because": reason("mapped")})

    def map_on_the_fly(self, plan, names, current):
        """Grants what is reported under its own name, as far as the filter lets it through."""
        granted = {self.fold(given["group"]) for given in plan["grants"]}
        for name in names:
            passes = not self.include or any(matches(name) for matches in self.include)
            if name_problem(name) or not passes or self.is_excluded(name, plan) or self.fold(name) in granted:
                continue
            granted.add(self.fold(name))
            # The account's own spelling, or the group would be taken and given again.
            same = (group for group in current if self.fold(group) == self.fold(name))
            known = next(same, name) if self.settings["fold-case"] else name
            plan["grants"].append({"group": known, "because": reason("mapped-on-the-fly")})


def reported(identity, settings):
    """The upstream's groups and None, or None and what there was in place of a list."""
    claim, groups = settings["groups-claim"], identity["groups"]
    if groups in ("overage", "withheld"):
        return None, groups
    if not claim:
        return (None, "absent") if groups == "absent" else (groups["listed"], None)
    value = value_of(identity["claims"], claim)
    if value is not None and settings["groups-pointer"]:
        value = at_pointer(value, settings["groups-pointer"], claim)
    if value is None:
        return None, "absent"
    if isinstance(value, str):
        separator = settings["groups-separator"]
        parts = [part.strip() for part in value.split(separator)] if separator else [value]
        return [part for part in parts if part or not separator], None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value, None
    raise Fault("bad-claim", claim)


def at_pointer(value, pointer, claim):
    """What stands at an RFC 6901 pointer. A plain text or number has no places."""
    if not isinstance(value, (dict, list)):
        raise Fault("bad-claim", claim)
    for part in pointer[1:].split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch("0|[1-9][0-9]*", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
