"""Finds an index, its student and a selector, by shipped name or by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.onnx.selector import OnnxSelector, selector_graph
from agents.search.parts import PreferenceSelector, QueryStudent, fixed_canvas
from students.onnx import graphs
from students.onnx.graphs import ENGINES
from students.onnx.runtime import SELECTOR, STUDENT, OnnxStudent
from students.search import index as indexes
from students.search.index import PhotoIndex

DEFAULT_SELECTOR = "emoji"
PREFERENCE_SELECTOR = "emoji-preference"
"""The shipped selectors: trained for one tradeoff, and for any tradeoff that a search gives."""


@dataclass(frozen=True)
class Parts:
    """The arguments of a `Pipeline`."""

    index: PhotoIndex
    student: QueryStudent
    selector: Any  # one of the selectors in `parts`
    preference: Callable[[], PreferenceSelector] | None = None
    ranking: str = "last"
    names: tuple[str, str] = ("", "")


def load_parts(
    index: str | Path, selector: str | Path | None, student: str | Path | None, engine: str | None, threads: int
) -> Parts:
    """Load the parts of a `Pipeline`; arguments and errors are those of `Pipeline.load`."""
    if engine is not None and engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; there are {', '.join(ENGINES)}")
    found = indexes.load(index)
    if student is not None and (Path(student) / f"{STUDENT}.json").is_file():
        embedder: Any = OnnxStudent.load(student, threads=threads)
        if selector is None and (Path(student) / f"{SELECTOR}.json").is_file():
            selector = student
    else:
        embedder = graphs.embedder(found.student if student is None else student, engine, threads)
    if selector is None:
        own, told = DEFAULT_SELECTOR, PREFERENCE_SELECTOR
        return Parts(found, embedder, _load(own, engine), lambda: _load(told, engine), names=(own, told))
    if (fixed := fixed_canvas(selector, embedder.canvases)) is not None:
        return Parts(found, embedder, fixed, names=_names(selector))
    chosen = _load(selector, engine)
    return Parts(found, embedder, chosen, ranking=_ranking_of(chosen), names=_names(selector))


def _load(selector: str | Path, engine: str | None) -> Any:
    """A selector: shipped graphs and folders of 'sketchcanvas export' run on onnxruntime, others on torch."""
    shipped = selector_graph(str(selector))
    if engine != "torch" and shipped.is_dir():
        return OnnxSelector.load(shipped)
    if (Path(selector) / f"{SELECTOR}.json").is_file():
        return OnnxSelector.load(selector)
    if engine == "onnx":
        raise ValueError(f"{selector} is not an exported selector: run 'sketchcanvas export', or use engine='torch'")
    import agents

    return agents.load(selector)


def _names(selector: str | Path) -> tuple[str, str]:
    """Names of a selector chosen by the user: its name, or that of its file."""
    name = Path(selector).stem if Path(selector).suffix in (".json", ".safetensors") else Path(selector).name
    return name, name


def _ranking_of(selector: object) -> str:
    """The ranking that a cascade was trained for, one of `sketchcanvas_env.tasks.cascade.RANKINGS`."""
    return str(getattr(selector, "ranking", "last"))
