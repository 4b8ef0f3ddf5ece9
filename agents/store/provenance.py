"""What a result file says about how it came to be."""

from __future__ import annotations

import platform
from typing import Any

import students.store.provenance
from sketchcanvas_env.outcomes.table import OutcomeTable

_PACKAGES = ("torch", "numpy", "scipy", "gymnasium", "stable-baselines3", "safetensors")


def versions() -> dict[str, str]:
    """Versions of what decides a number, by package; "absent" for what is not installed."""
    import sketchcanvas_env

    return {"sketchcanvas": sketchcanvas_env.__version__, **students.store.provenance.versions(_PACKAGES)}


def of_table(table: OutcomeTable) -> dict[str, str]:
    """Which outcomes, of which student, on which data."""
    return {
        "dataset": table.dataset,
        "dataset_hash": table.dataset_hash,
        "student": table.student,
        "student_hash": table.student_hash,
        "table_hash": table.hash,
    }


def machine() -> dict[str, Any]:
    """What the numbers were computed on, as far as it can change them."""
    return {"system": platform.system(), "machine": platform.machine()}
