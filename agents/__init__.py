"""Agents for `SketchCanvas-v0`: selector networks, algorithms that train them, exact evaluation, comparison.

`import agents` is light; torch and SB3 are imported when something that needs them is used.

    selector = agents.load("runs/reinforce")   # a saved selector
    side = selector(sketch)                    # VectorSketch -> canvas side in pixels

The functions `agents.compare.compare` and `agents.evaluate.evaluate` bear the names of their modules and are
imported from there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.algorithms import ALGORITHMS, make_config, train_run
    from agents.cascade.shown import SeenLook
    from agents.compare import CompareConfig, CompareResult
    from agents.environment import CascadeConfig, EnvConfig
    from agents.evaluate import Evaluation
    from agents.saved import SavedCascade, SavedSelector, load, save

# Public name -> module.
_LAZY = {
    "ALGORITHMS": "algorithms",
    "CascadeConfig": "environment",
    "CompareConfig": "compare",
    "CompareResult": "compare",
    "EnvConfig": "environment",
    "Evaluation": "evaluate",
    "SavedCascade": "saved",
    "SavedSelector": "saved",
    "SeenLook": "cascade.shown",
    "load": "saved",
    "make_config": "algorithms",
    "save": "saved",
    "train_run": "algorithms",
}

__all__ = [
    "ALGORITHMS",
    "CascadeConfig",
    "CompareConfig",
    "CompareResult",
    "EnvConfig",
    "Evaluation",
    "SavedCascade",
    "SavedSelector",
    "SeenLook",
    "load",
    "make_config",
    "save",
    "train_run",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
