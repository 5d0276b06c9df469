"""Parts of an application with single sign-on on or off, by path."""

import re

from vestibule_policy import decoded_path, matchers, trim, value_of

_ODD = re.compile(r"[\\;\x00-\x1f\x7f-\x9f]")

# Only what is no ASCII may be escaped.
_ODD_ESCAPE = re.compile("%(?![89a-fA-F][0-9a-fA-F])")


def read_areas(written, problems):
    areas = []
    for index, area in enumerate(written):
        at = f"/areas/{index}"
        if not trim(area["name"]):
            problems.add(f"{at}/name", "an area has a name")
        if not area["path"]:
            problems.add(f"{at}/path", "an area has at least one path")
        # With single sign-on a path is meant in any case, as an application may read it.
        paths = matchers(area["path"], f"{at}/path", problems, ignore_case=area["sso"])
        applications = matchers(area.get("application", []), f"{at}/application", problems)
        areas.append((paths, applications, area["sso"]))
    return areas


def is_left_to_the_application(areas, context):
    """Does the first area that covers the wanted path leave the login to the application?"""
    path = wanted_path(context["facts"]) if areas else None
    if path is None:
        return False
    for paths, applications, sso in areas:
        is_its = not applications or any(fit(context["application"]) for fit in applications)
        readings = (path, decoded_path(path)) if sso else (path,)
        if is_its and any(fit(one) for one in readings for fit in paths):
            return not sso
    return False


def wanted_path(facts):
    """The path that the person wanted, where it is known and plain.

    A path that could be read in two ways is in no area: single sign-on is asked for, which is the side that
    is safe to be wrong on.
    """
    wanted = value_of(facts, "request.target")
    if wanted is None:
        wanted = value_of(facts, "request.path")
    if not isinstance(wanted, str):
        return None
    _, scheme, rest = wanted.partition("://")
    if scheme:
        start = re.search("[/?#]", rest)
        wanted = rest[start.start():] if start else "/"
    path = re.split("[?#]", wanted, maxsplit=1)[0]
    return path if path.startswith("/") and is_plain(path) else None


def is_plain(path):
    """No dot segments, empty segments, parameters or control characters, plain or encoded."""
    if _ODD.search(path) or _ODD_ESCAPE.search(path):
        return False
    *folders, last = path.split("/")[1:]
    return last not in (".", "..") and not any(segment in ("", ".", "..") for segment in folders)
