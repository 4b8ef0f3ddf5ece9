"""Provenance of a result: the commit, versions of Python and of packages."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "numpy", "cairocffi", "pillow")
"""Packages that embeddings depend on."""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Version of Python and of each package; "absent" for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def commit() -> str:
    """The commit of the working tree, "-dirty" when something is changed in it, or "unknown" outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # no git on this machine
        return "unknown"
    return result.stdout.strip() or "unknown"
