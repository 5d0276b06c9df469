from vestibule_policy import name_problem, policy

KEYS = ("lifetime-s", "idle-s", "remember")


@policy
class SessionTerms:
    def configure(self, settings, problems):
        self.settings = settings
        self.rows = settings.get("by-group", [])
        check_seconds(problems, "", settings)
        for index, row in enumerate(self.rows):
            at = f"/by-group/{index}"
            if problem := name_problem(row["group"]):
                problems.add(f"{at}/group", f"a group {problem}")
            if any(earlier["group"] == row["group"] for earlier in self.rows[:index]):
                problems.add(f"{at}/group", f"`{row['group']}` has two rows")
            if all(row.get(key) is None for key in KEYS):
                problems.add(at, "the row says nothing; give it `lifetime-s`, `idle-s` or `remember`")
            check_seconds(problems, at, row)

    def session(self, groups, so_far, **_):
        rows = [row for row in self.rows if row["group"] in groups]

        def strictest(key):
            # `False` is less than `True`, and the stricter of them.
            return min((row[key] for row in rows if row.get(key) is not None), default=self.settings.get(key))

        def least(key, *others):
            said = strictest(key)
            return min(others) if said is None else min(said, *others)

        lifetime = least("lifetime-s", so_far["lifetime"])
        return {
            "lifetime": lifetime,
            "idle": least("idle-s", so_far["idle"], lifetime),
            "remember": bool(strictest("remember")) and so_far["remember"],
        }


def check_seconds(problems, at, terms):
    lifetime, idle = terms.get("lifetime-s"), terms.get("idle-s")
    for key, seconds in (("lifetime-s", lifetime), ("idle-s", idle)):
        if seconds == 0:
            problems.add(f"{at}/{key}", "a session of no length lets nobody in")
    if lifetime and idle is not None and idle > lifetime:
        problems.add(f"{at}/idle-s", f"is longer than the lifetime of {lifetime} s")
