"""Which upstream authenticates the subject?"""


class Route:
    def configure(self, settings, problems):
        """Reads the settings; notes what is wrong with them."""
        self.upstream = settings["upstream"]
        if self.upstream.strip() != self.upstream:
            problems.add("/upstream", "begins or ends with a blank")

    def route(self, attempt):
        # One that is not open to this application, or that failed a moment ago, is no way on.
        if self.upstream not in attempt["upstreams"] or self.upstream in attempt["failed"]:
            return "pass"
        return {"redirect": {"upstream": self.upstream, "delay": 0, "acr-values": []}}
