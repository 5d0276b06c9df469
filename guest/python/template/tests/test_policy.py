import json
import tomllib
import unittest
from pathlib import Path

from policy import Rules
from vestibule_policy.testing import start

PROJECT = Path(__file__).parents[1]


def read(name):
    return tomllib.loads((PROJECT / name).read_text("utf-8"))


class RulesTest(unittest.TestCase):
    def test_every_file_has_the_same_settings_and_defaults(self):
        schema = json.loads((PROJECT / "settings.schema.json").read_text("utf-8"))
        defaults = {key: setting["default"] for key, setting in schema["properties"].items()}
        self.assertEqual(read("policy.toml")["settings-default"], defaults)
        self.assertEqual(read("settings.toml"), defaults)

    def test_takes_the_default_settings_and_answers_at_each_hook(self):
        manifest = read("policy.toml")
        asked = start(Rules, manifest["settings-default"])
        self.assertEqual(asked.hooks, manifest["hooks"])
        for hook in asked.hooks:
            # What does not fit the contract would be raised.
            getattr(asked, hook)()


if __name__ == "__main__":
    unittest.main()
