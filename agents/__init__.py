"""Agents for `SketchCanvas-v0`: selector networks, algorithms that train them, exact evaluation, comparison.

`import agents` is light; torch and SB3 are imported when something that needs them is used.

    selector = agents.load("runs/reinforce")   # a saved selector
    side = selector(sketch)                    # VectorSketch -> canvas side in pixels

The functions `agents.experiments.compare.compare` and `agents.evaluation.evaluate.evaluate` bear the names of their
modules and are imported from there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents.algorithms.registry import ALGORITHMS, make_config, train_run
    from agents.evaluation.evaluate import Evaluation
    from agents.evaluation.setting import CascadeConfig, EnvConfig
    from agents.experiments.results import CompareResult
    from agents.experiments.settings import CompareConfig
    from agents.selectors.observation import SeenLook
    from agents.store.saved import SavedCascade, SavedSelector, load, save

# Public name -> module.
_LAZY = {
    "ALGORITHMS": "algorithms.registry",
    "CascadeConfig": "evaluation.setting",
    "CompareConfig": "experiments.settings",
    "CompareResult": "experiments.results",
    "EnvConfig": "evaluation.setting",
    "Evaluation": "evaluation.evaluate",
    "SavedCascade": "store.saved",
    "SavedSelector": "store.saved",
    "SeenLook": "selectors.observation",
    "load": "store.saved",
    "make_config": "algorithms.registry",
    "save": "store.saved",
    "train_run": "algorithms.registry",
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
