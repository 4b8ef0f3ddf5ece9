"""SketchCanvas: Gymnasium environments in which an agent chooses the canvas on which a vector sketch is rasterised.

Importing this package registers

* `SketchCanvas-v0`: one choice for each sketch;
* `SketchCanvasPreference-v0`: the same, with a tradeoff for each episode that the agent observes;
* `SketchCanvasCascade-v0`: several looks at each sketch, on one canvas after another;
* `SketchCanvasStroke-v0`: the sketch appears stroke by stroke;
* `mo-SketchCanvas-v0`: a vector reward, for MO-Gymnasium.

Public names are loaded when they are first used, so that the import needs Gymnasium and NumPy only.

    >>> import gymnasium as gym
    >>> import sketchcanvas_env
    >>> "SketchCanvas-v0" in gym.registry
    True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import register, registry

if TYPE_CHECKING:
    from sketchcanvas_env.data import SketchDataset
    from sketchcanvas_env.data import load as load_dataset
    from sketchcanvas_env.envs.canvas import SketchCanvasEnv, SketchCanvasVectorEnv
    from sketchcanvas_env.envs.cascade import SketchCanvasCascadeEnv, SketchCanvasCascadeVectorEnv
    from sketchcanvas_env.envs.multi_objective import MOSketchCanvasEnv
    from sketchcanvas_env.envs.stroke import SketchCanvasStrokeEnv, SketchCanvasStrokeVectorEnv
    from sketchcanvas_env.outcomes.finding import available_tables, load_table
    from sketchcanvas_env.outcomes.looks import LookTable
    from sketchcanvas_env.outcomes.prefixes import PrefixTable
    from sketchcanvas_env.outcomes.table import OutcomeTable
    from sketchcanvas_env.sketches.features import FEATURE_NAMES, stroke_features
    from sketchcanvas_env.sketches.raster import rasterise
    from sketchcanvas_env.sketches.sketch import VectorSketch
    from sketchcanvas_env.storage.table_file import TableError
    from sketchcanvas_env.svg.reader import read_svg
    from sketchcanvas_env.tasks.retriever import Outcome, Retriever

__version__ = "0.1.0"

PREFERENCES = (0.0, 0.8)
"""Range of the tradeoffs of `SketchCanvasPreference-v0`. Our choice; see README.md."""

# Public name -> (module, name there).
_LAZY = {
    "FEATURE_NAMES": ("sketches.features", "FEATURE_NAMES"),
    "LookTable": ("outcomes.looks", "LookTable"),
    "MOSketchCanvasEnv": ("envs.multi_objective", "MOSketchCanvasEnv"),
    "Outcome": ("tasks.retriever", "Outcome"),
    "OutcomeTable": ("outcomes.table", "OutcomeTable"),
    "PrefixTable": ("outcomes.prefixes", "PrefixTable"),
    "Retriever": ("tasks.retriever", "Retriever"),
    "SketchCanvasCascadeEnv": ("envs.cascade", "SketchCanvasCascadeEnv"),
    "SketchCanvasCascadeVectorEnv": ("envs.cascade", "SketchCanvasCascadeVectorEnv"),
    "SketchCanvasEnv": ("envs.canvas", "SketchCanvasEnv"),
    "SketchCanvasStrokeEnv": ("envs.stroke", "SketchCanvasStrokeEnv"),
    "SketchCanvasStrokeVectorEnv": ("envs.stroke", "SketchCanvasStrokeVectorEnv"),
    "SketchCanvasVectorEnv": ("envs.canvas", "SketchCanvasVectorEnv"),
    "SketchDataset": ("data", "SketchDataset"),
    "TableError": ("storage.table_file", "TableError"),
    "VectorSketch": ("sketches.sketch", "VectorSketch"),
    "available_tables": ("outcomes.finding", "available_tables"),
    "load_dataset": ("data", "load"),
    "load_table": ("outcomes.finding", "load_table"),
    "rasterise": ("sketches.raster", "rasterise"),
    "read_svg": ("svg.reader", "read_svg"),
    "stroke_features": ("sketches.features", "stroke_features"),
}

__all__ = [
    "FEATURE_NAMES",
    "PREFERENCES",
    "LookTable",
    "MOSketchCanvasEnv",
    "Outcome",
    "OutcomeTable",
    "PrefixTable",
    "Retriever",
    "SketchCanvasCascadeEnv",
    "SketchCanvasCascadeVectorEnv",
    "SketchCanvasEnv",
    "SketchCanvasStrokeEnv",
    "SketchCanvasStrokeVectorEnv",
    "SketchCanvasVectorEnv",
    "SketchDataset",
    "TableError",
    "VectorSketch",
    "__version__",
    "available_tables",
    "load_dataset",
    "load_table",
    "rasterise",
    "read_svg",
    "stroke_features",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted({*globals(), *__all__})


def _register(name: str, module: str, environment: str, vector: str | None = None, **options: Any) -> None:
    """Register an environment, unless the package is reloaded."""
    if name not in registry:
        where = f"{__name__}.envs.{module}"
        register(name, f"{where}:{environment}", vector_entry_point=vector and f"{where}:{vector}", **options)


_register("SketchCanvas-v0", "canvas", "SketchCanvasEnv", "SketchCanvasVectorEnv")
_register(
    "SketchCanvasPreference-v0",
    "canvas",
    "SketchCanvasEnv",
    "SketchCanvasVectorEnv",
    kwargs={"preferences": PREFERENCES},
)
_register("SketchCanvasCascade-v0", "cascade", "SketchCanvasCascadeEnv", "SketchCanvasCascadeVectorEnv")
_register("SketchCanvasStroke-v0", "stroke", "SketchCanvasStrokeEnv", "SketchCanvasStrokeVectorEnv")
# Gymnasium's checker and vector environments require scalar rewards.
_register("mo-SketchCanvas-v0", "multi_objective", "MOSketchCanvasEnv", disable_env_checker=True)
