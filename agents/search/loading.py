"""Finds an index, its student and a selector, by shipped name or by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.search.parts import OneShotSelector, PreferenceSelector, QueryStudent, fixed_canvas
from students.search import index as indexes
from students.search.index import PhotoIndex

DEFAULT_SELECTOR = "emoji"
PREFERENCE_SELECTOR = "emoji-preference"
"""The shipped selectors: for one tradeoff, and for the tradeoff that a search names."""

ENGINES = ("torch", "onnx")
"""What computes: torch, or onnxruntime, which runs what `sketchcanvas export` wrote."""


@dataclass(frozen=True)
class Parts:
    """The arguments of a `Pipeline`."""

    index: PhotoIndex
    student: QueryStudent
    selector: Any  # one of the selectors in `parts`
    preference: Callable[[], PreferenceSelector] | None = None
    ranking: str = "last"
    names: tuple[str, str] = ("", "")


def load_parts(index: str | Path, selector: str | Path | None, student: str | Path | None, engine: str) -> Parts:
    """The parts that `Pipeline.load` joins; arguments and errors are its."""
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; there are {', '.join(ENGINES)}")
    import agents
    import students

    found = indexes.load(index)
    if engine == "onnx":
        exported, decides = _exported(student, selector)
        return Parts(found, exported, decides, ranking=_ranking_of(decides), names=_names(selector or "exported"))
    embedder = students.load(found.student if student is None else student)
    if selector is None:
        own, told = DEFAULT_SELECTOR, PREFERENCE_SELECTOR
        return Parts(found, embedder, agents.load(own), lambda: agents.load(told), names=(own, told))
    if (fixed := fixed_canvas(selector, embedder.canvases)) is not None:
        return Parts(found, embedder, fixed, names=_names(selector))
    chosen = agents.load(selector)
    return Parts(found, embedder, chosen, ranking=_ranking_of(chosen), names=_names(selector))


def _names(selector: str | Path) -> tuple[str, str]:
    """Of a selector that is named by the user: its name, or its file's."""
    name = Path(selector).stem if Path(selector).suffix in (".json", ".safetensors") else Path(selector).name
    return name, name


def _ranking_of(selector: object) -> str:
    """One of `sketchcanvas_env.tasks.cascade.RANKINGS`: a cascade says for which it was trained."""
    return str(getattr(selector, "ranking", "last"))


def _exported(student: str | Path | None, selector: str | Path | None) -> tuple[QueryStudent, OneShotSelector]:
    """An exported student and a selector for it; torch is not imported."""
    from agents.onnx.selector import OnnxSelector
    from students.onnx.runtime import OnnxStudent

    if student is None:
        raise ValueError(
            "engine 'onnx' runs an exported student: name the folder that 'sketchcanvas export --onnx DIR' wrote"
        )
    embedder = OnnxStudent.load(student)
    if selector is None:
        return embedder, OnnxSelector.load(student)
    return embedder, fixed_canvas(selector, embedder.canvases) or OnnxSelector.load(selector)
