"""The fixtures of the made-up data set, for every test of the students."""

from tests.helpers import toy, toy_files

__all__ = ["toy", "toy_files"]
