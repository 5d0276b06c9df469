"""The rules, a module for each hook."""
