"""Answers of a search: photos found, and their cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sketchcanvas_env.outcomes.columns import TOP

STAGES = ("selector", "raster", "student", "rank")
"""Stages of a search that are timed."""


@dataclass(frozen=True)
class Hit:
    """A photo that was found.

    Attributes:
        photo: its name in the index.
        distance: Euclidean distance of the embeddings, in [0, 2].
    """

    photo: str
    distance: float


@dataclass(frozen=True)
class Look:
    """The sketch seen on one canvas.

    Attributes:
        canvas: side in pixels.
        gflops: of the student (2 x MAC).
        hits: nearest photos, nearest first.
        milliseconds: by stage: "raster", "student" and "rank".
    """

    canvas: int
    gflops: float
    hits: tuple[Hit, ...]
    milliseconds: Mapping[str, float]

    @property
    def top(self) -> tuple[str, ...]:
        """Names of the first `TOP` photos, as many as a cascade sees."""
        return tuple(hit.photo for hit in self.hits[:TOP])

    @property
    def distances(self) -> tuple[float, ...]:
        """Their distances, rising."""
        return tuple(hit.distance for hit in self.hits[:TOP])


@dataclass(frozen=True)
class Answer:
    """Photos found by one search, and its cost.

    Attributes:
        hits: nearest photos of the last look, or of all looks fused, nearest first.
        nothing_near: whether the first photo is farther than the limit of `agents.search.strangers`, so that the index
            probably has no match; None if the limit was not measured for the student and canvas.
        selector: name of the selector that chose the canvas, "fixed:64" for one canvas; may be empty.
        canvas: side of the last look, in pixels.
        looks: all looks, in order; one where the selector chooses once.
        gflops: of the student over all looks.
        selector_gflops: of all decisions.
        milliseconds: by stage, `STAGES`, and their sum, "total".
        fixed_canvas: the student's largest canvas, side in pixels.
        fixed_gflops: of the student on that canvas.
    """

    hits: tuple[Hit, ...]
    nothing_near: bool | None
    selector: str
    canvas: int
    looks: tuple[Look, ...]
    gflops: float
    selector_gflops: float
    milliseconds: Mapping[str, float]
    fixed_canvas: int
    fixed_gflops: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)


def summary(answer: Answer) -> str:
    """Canvases, selector, FLOPs and milliseconds in one line."""
    canvases = " then ".join(f"{look.canvas} x {look.canvas}" for look in answer.looks)
    spent = answer.gflops + answer.selector_gflops
    chosen = f", chosen by {answer.selector}" if answer.selector and not answer.selector.startswith("fixed:") else ""
    side = answer.fixed_canvas
    return (
        f"canvas {canvases}{chosen}: {spent:.3g} GFLOPs, {spent / answer.fixed_gflops:.0%} of {side} x {side}; "
        f"{answer.milliseconds['total']:.1f} ms"
    )
