"""For how long, and on what terms?"""


class Session:
    def configure(self, settings, problems):
        """Reads the settings; notes what is wrong with them."""
        self.lifetime = settings["lifetime-s"]
        if self.lifetime == 0:
            problems.add("/lifetime-s", "a session of no length lets nobody in")

    def session(self, so_far, **_):
        lifetime = min(so_far["lifetime"], self.lifetime)
        return {"lifetime": lifetime, "idle": min(so_far["idle"], lifetime), "remember": so_far["remember"]}
