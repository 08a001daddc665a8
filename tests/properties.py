"""Hypothesis with the settings of this project.

Import it from here: importing Hypothesis takes a quarter of a second, which tests without properties save.
"""

from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

__all__ = ["HealthCheck", "Phase", "assume", "example", "given", "settings", "st"]

# A shared machine is slow now and then; that fails no test.
settings.register_profile("dashtam", database=None, deadline=None)
settings.load_profile("dashtam")
