"""Fails in the manner that its settings name, for the people whom they name."""

from vestibule_policy import policy, value_of


def recurse():
    return 1 + recurse()


def loop():
    while True:
        pass


def hoard():
    everything = []
    while True:
        everything.append(bytearray(1 << 20))


def throw():
    raise ValueError("not today")


FAILURES = {"recurse": recurse, "loop": loop, "hoard": hoard, "throw": throw}


@policy
class Misbehaves:
    def configure(self, settings, problems):
        self.settings = settings

    def admit(self, identity, **_):
        name = value_of(identity["claims"], "preferred_username")
        for failure, fail in FAILURES.items():
            if name in self.settings[failure]:
                fail()
        return "pass"
