"""Provenance of a result: the commit, and versions of Python and packages."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "numpy", "cairocffi", "pillow")
"""Packages that embeddings depend on."""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions by name of Python and the packages; "absent" for a package that is not installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def commit() -> str:
    """The checked-out commit, with "-dirty" if files are changed; "unknown" outside a checkout."""
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
