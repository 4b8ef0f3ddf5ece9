"""What the numbers of a result depend on: versions of Python and of packages."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

PACKAGES = ("torch", "numpy", "cairocffi", "pillow")
"""What an embedding depends on."""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Version of Python and of each package; "absent" for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
