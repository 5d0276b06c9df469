import re

from vestibule_policy import decoded_path, deny, fold_case, glob, policy, reason

#: Whoever has the second has the first (`wit/README.md`).
SECOND_FACTOR = "urn:vestibule:second-factor"
PHISHING_RESISTANT = "urn:vestibule:second-factor:phishing-resistant"

_ODD = re.compile(r"[#;%\\\x00-\x1f\x7f-\x9f]")


@policy
class AdminReauth:
    def configure(self, settings, problems):
        self.max_age = settings.get("max-age-s", 600)
        self.acr_values = settings.get("acr-values", [])
        self.admin = read(settings.get("admin-paths", []), "/admin-paths", problems)
        if self.max_age == 0:
            problems.add("/max-age-s", "nobody can authenticate within 0 s")
        for index, acr in enumerate(self.acr_values):
            problems.check_acr(f"/acr-values/{index}", acr)
        self.hidden = read(settings.get("hidden-paths", []), "/hidden-paths", problems)
        self.restricted = []
        for index, row in enumerate(settings.get("restricted", [])):
            at = f"/restricted/{index}"
            if not row["paths"]:
                problems.add(f"{at}/paths", "name at least one path")
            if not row["groups"]:
                problems.add(f"{at}/groups", "name at least one group; for nobody there is `hidden-paths`")
            for number, group in enumerate(row["groups"]):
                problems.check_name(f"{at}/groups/{number}", "a group", group)
            self.restricted.append((read(row["paths"], f"{at}/paths", problems), row["groups"]))

    def access(self, context, identity, groups, request):
        paths = [fold_case(path) for path in readings(request["path"])]
        if cover(self.hidden, paths):
            return deny("path-hidden")
        for patterns, members in self.restricted:
            if cover(patterns, paths) and not any(group in groups for group in members):
                return deny("group-required", " or ".join(members))
        if not cover(self.admin, paths):
            return "pass"
        if not self.is_strong(identity["acr"]):
            code = "authentication-not-strong"
        elif not self.is_fresh(context["at"], identity["auth-time"]):
            code = "authentication-not-recent"
        else:
            return "pass"
        wanted = {"acr-values": self.acr_values, "max-age": self.max_age, "reason": reason(code)}
        return {"reauthenticate": wanted}

    def is_strong(self, acr):
        wanted = self.acr_values
        return not wanted or acr in wanted or (acr == PHISHING_RESISTANT and SECOND_FACTOR in wanted)

    def is_fresh(self, at, authenticated):
        """A time that is missing or lies in the future proves nothing."""
        return authenticated is not None and 0 <= at - authenticated <= self.max_age


def read(patterns, at, problems):
    """Patterns of paths, ready to match. What is wrong with them is noted under ``at``."""
    texts = []
    for index, pattern in enumerate(patterns):
        if wrong := fault(pattern):
            problems.add(f"{at}/{index}", wrong)
        # `/admin/*` covers `/admin` itself.
        folder = pattern.removesuffix("/**") if pattern.endswith("/**") else pattern.removesuffix("/*")
        texts += [fold_case(text) for text in (pattern, folder) if text]
    return texts


def cover(patterns, paths):
    return any(glob(pattern, path) for pattern in patterns for path in paths)


def fault(pattern):
    """Why a pattern could never cover what it seems to."""
    if not pattern.startswith("/"):
        return "a path pattern begins with `/`"
    if _ODD.search(pattern):
        return "write the path plainly: without parameters, escapes, backslashes and `#`"
    if "?" in pattern:
        return "a path has no query; `?` stands for nothing here, take `*`"
    if any(segment in (".", "..") for segment in pattern.split("/")) or "//" in pattern:
        return "write the path without empty segments, `.` and `..`"
    return None


def readings(path):
    """The ways in which applications may read ``path``: some cut off ``;x=y``, some the slash at the end.

    A path is covered where any reading of it is; to be wrong here costs somebody a login too many.
    """
    path = decoded_path(path)
    paths = [path]
    if ";" in path:
        paths.append("/".join(segment.partition(";")[0] for segment in path.split("/")))
    # Of each: an application that cuts off `;x` of `/admin;x/` may do without the slash, too.
    return paths + [one.rstrip("/") for one in paths if one.endswith("/")]
