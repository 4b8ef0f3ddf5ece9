"""SketchCanvas: choosing a canvas for each sketch, as a Gymnasium environment.

Importing this package registers `SketchCanvas-v0`; `SketchCanvasPreference-v0`, where every episode has a tradeoff of
its own, which the agent sees; `SketchCanvasCascade-v0`, where the agent looks at a sketch on one canvas after another
until it has seen enough; `SketchCanvasStroke-v0`, where the sketch appears stroke by stroke; and `mo-SketchCanvas-v0`
with a vector reward for MO-Gymnasium. The public names below are loaded when they are first used, so that the import
stays light: it needs Gymnasium and NumPy only.

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
    from sketchcanvas_env.cascade_env import SketchCanvasCascadeEnv
    from sketchcanvas_env.cascade_vector import SketchCanvasCascadeVectorEnv
    from sketchcanvas_env.data import SketchDataset
    from sketchcanvas_env.data import load as load_dataset
    from sketchcanvas_env.env import SketchCanvasEnv
    from sketchcanvas_env.features import FEATURE_NAMES, stroke_features
    from sketchcanvas_env.live import Outcome, Retriever
    from sketchcanvas_env.looks import LookTable, load_looks
    from sketchcanvas_env.multi_objective import MOSketchCanvasEnv
    from sketchcanvas_env.prefixes import PrefixTable, load_prefixes
    from sketchcanvas_env.raster import rasterise
    from sketchcanvas_env.sketch import VectorSketch
    from sketchcanvas_env.stroke_env import SketchCanvasStrokeEnv
    from sketchcanvas_env.stroke_vector import SketchCanvasStrokeVectorEnv
    from sketchcanvas_env.svg import read_svg
    from sketchcanvas_env.table import OutcomeTable, available_tables, load_table
    from sketchcanvas_env.table_file import TableError
    from sketchcanvas_env.vector import SketchCanvasVectorEnv

__version__ = "0.1.0"

PREFERENCES = (0.0, 0.8)
"""Between what the tradeoffs of `SketchCanvasPreference-v0` are drawn; `SketchCanvasEnv` says why."""

# Public name -> (module, name there).
_LAZY = {
    "FEATURE_NAMES": ("features", "FEATURE_NAMES"),
    "LookTable": ("looks", "LookTable"),
    "MOSketchCanvasEnv": ("multi_objective", "MOSketchCanvasEnv"),
    "Outcome": ("live", "Outcome"),
    "OutcomeTable": ("table", "OutcomeTable"),
    "PrefixTable": ("prefixes", "PrefixTable"),
    "Retriever": ("live", "Retriever"),
    "SketchCanvasCascadeEnv": ("cascade_env", "SketchCanvasCascadeEnv"),
    "SketchCanvasCascadeVectorEnv": ("cascade_vector", "SketchCanvasCascadeVectorEnv"),
    "SketchCanvasEnv": ("env", "SketchCanvasEnv"),
    "SketchCanvasStrokeEnv": ("stroke_env", "SketchCanvasStrokeEnv"),
    "SketchCanvasStrokeVectorEnv": ("stroke_vector", "SketchCanvasStrokeVectorEnv"),
    "SketchCanvasVectorEnv": ("vector", "SketchCanvasVectorEnv"),
    "SketchDataset": ("data", "SketchDataset"),
    "TableError": ("table_file", "TableError"),
    "VectorSketch": ("sketch", "VectorSketch"),
    "available_tables": ("table", "available_tables"),
    "load_dataset": ("data", "load"),
    "load_looks": ("looks", "load_looks"),
    "load_prefixes": ("prefixes", "load_prefixes"),
    "load_table": ("table", "load_table"),
    "rasterise": ("raster", "rasterise"),
    "read_svg": ("svg", "read_svg"),
    "stroke_features": ("features", "stroke_features"),
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
    "load_looks",
    "load_prefixes",
    "load_table",
    "rasterise",
    "read_svg",
    "stroke_features",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(import_module(f"{__name__}.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})


# A reload of the package must not warn about overriding its own registrations.
for _id, _kwargs in (("SketchCanvas-v0", {}), ("SketchCanvasPreference-v0", {"preferences": PREFERENCES})):
    if _id not in registry:
        register(
            id=_id,
            entry_point="sketchcanvas_env.env:SketchCanvasEnv",
            vector_entry_point="sketchcanvas_env.vector:SketchCanvasVectorEnv",
            kwargs=_kwargs,
        )

if "SketchCanvasCascade-v0" not in registry:
    register(
        id="SketchCanvasCascade-v0",
        entry_point="sketchcanvas_env.cascade_env:SketchCanvasCascadeEnv",
        vector_entry_point="sketchcanvas_env.cascade_vector:SketchCanvasCascadeVectorEnv",
    )

if "SketchCanvasStroke-v0" not in registry:
    register(
        id="SketchCanvasStroke-v0",
        entry_point="sketchcanvas_env.stroke_env:SketchCanvasStrokeEnv",
        vector_entry_point="sketchcanvas_env.stroke_vector:SketchCanvasStrokeVectorEnv",
    )

# Its rewards are vectors: Gymnasium's checker, which asks for numbers, stays off, and so do its vector environments.
if "mo-SketchCanvas-v0" not in registry:
    register(
        id="mo-SketchCanvas-v0",
        entry_point="sketchcanvas_env.multi_objective:MOSketchCanvasEnv",
        disable_env_checker=True,
    )
