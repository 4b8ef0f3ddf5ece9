"""Sketch search from end to end: selector, raster, student, ranking.

    >>> from agents.search.pipeline import Pipeline
    >>> from sketchcanvas_env import load_dataset
    >>> answer = Pipeline.load().search(load_dataset("emoji").sketch(0), top=3)
    >>> [round(hit.distance, 1) for hit in answer.hits] == sorted(round(hit.distance, 1) for hit in answer.hits)
    True
    >>> answer.canvas in (32, 64, 128, 256) and answer.gflops < answer.fixed_gflops
    True

A selector chooses a canvas for the sketch; the sketch is drawn there and embedded, and the index is ranked. A cascade
chooses again after each look; the answer is that of the last look, or of all looks fused, depending on what the cascade
was trained for. `parts` has the interfaces of student and selector; `loading` finds the shipped ones.

Each stage is timed with a clock; sketches that are searched together share its milliseconds equally. The first use of a
selector or a canvas runs once untimed, so that loading is not part of an answer's time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.search import loading, strangers
from agents.search.answers import STAGES, Answer, Hit, Look
from agents.search.parts import CascadeSelector, FixedCanvas, OneShotSelector, PreferenceSelector, QueryStudent
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.reward import fused_distance
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.tasks.cascade import RANKINGS
from students.search.index import PhotoIndex
from students.search.nearest import nearest_photos
from students.tables.ranking import euclidean, nearest

BATCH = 16
"""Sketches that are drawn, embedded and ranked together at most."""

_GIGA = 1e9


class Pipeline:
    """Searches an index for the photos nearest to a sketch.

    Threads may share a pipeline. They take turns at a student that is not `parallel`: the layers of a torch student are
    set to one canvas at a time.

    Attributes:
        index: what is searched.
        student: embeds the sketches.
        selector: chooses the canvas where a search names no tradeoff.
        ranking: "last" or "fused".
        names: what its selectors are called: `selector`, and the one that is told a tradeoff.
    """

    def __init__(
        self,
        index: PhotoIndex,
        student: QueryStudent,
        selector: OneShotSelector | CascadeSelector | PreferenceSelector,
        preference: Callable[[], PreferenceSelector] | None = None,
        ranking: str = "last",
        names: tuple[str, str] = ("", ""),
    ) -> None:
        """Combine parts; `load` finds the shipped ones.

        Args:
            index: embedded by this student.
            student: frozen.
            selector: its canvases are some of the student's.
            preference: gives the selector for searches that name a tradeoff; called once, when the first does. None:
                `selector` is told it.
            ranking: what answers when there were several looks: the "last", or all of them "fused"
                (`reward.fused_distance`).
            names: of the selectors, for people: of `selector` and of `preference`.

        Raises:
            ValueError: the index was embedded with other weights, or another ranking.
        """
        if ranking not in RANKINGS:
            raise ValueError(f"unknown ranking {ranking!r}; there are {', '.join(RANKINGS)}")
        if student.weights_hash != index.student_hash:
            raise ValueError(
                f"the index was embedded by {index.student!r} with other weights than this student's (sha256 "
                f"{index.student_hash[:12]} against {student.weights_hash[:12]}): index the pictures anew, or name "
                "that student"
            )
        self.index = index
        self.student = student
        self.selector = selector
        self.ranking = ranking
        self._preference = preference
        self._told: PreferenceSelector | None = None
        self.names = names
        self._turn: AbstractContextManager[object] = nullcontext() if getattr(student, "parallel", False) else Lock()
        self._warm: set[int | str] = set()  # canvases that were seen and selectors that were asked

    @classmethod
    def load(
        cls,
        index: str | Path = "emoji",
        selector: str | Path | None = None,
        student: str | Path | None = None,
        engine: str | None = None,
        threads: int = 0,
    ) -> Pipeline:
        """Load an index with the student that made it, and a selector.

        Args:
            index: a shipped one, or the path of one of your own (`sketchcanvas index`).
            selector: a shipped one or a path, as `agents.load` takes it, or "fixed:64"; None for the shipped ones: one
                for searches that name no tradeoff, one for those that do.
            student: a shipped one or a path, as `students.load` takes it; None for the one that the index names.
            engine: what computes: "onnx" (onnxruntime, no torch), "torch", or None: onnx where there are graphs, as for
                everything that is shipped. Student and selector may be folders of `sketchcanvas export`; None for the
                selector is then the one in the student's folder.
            threads: that onnxruntime may use for one search, 0 for all the machine has.

        Raises:
            FileNotFoundError: a file is missing.
            ImportError: what computes is not installed.
            ValueError: a damaged file, an unknown engine or name, graphs of other weights, or an index made with other
                weights.
        """
        parts = loading.load_parts(index, selector, student, engine, threads)
        return cls(parts.index, parts.student, parts.selector, parts.preference, parts.ranking, parts.names)

    def at(self, canvas: int) -> Pipeline:
        """A pipeline with the same student that uses one canvas, `canvas` pixels a side, for every sketch."""
        other = Pipeline(self.index, self.student, FixedCanvas(canvas), names=(f"fixed:{canvas}", ""))
        other._turn, other._warm = self._turn, self._warm
        return other

    def search(self, sketch: VectorSketch, top: int = 10, tradeoff: float | None = None) -> Answer:
        """Find the photos nearest to a sketch.

        Args:
            sketch: the drawing, filling its canvas as in the data sets and as returned by `read_svg`; call
                `normalised()` on others, which find far less as they are.
            top: number of photos, at least 1; fewer if the index has fewer.
            tradeoff: weight of cost against accuracy, in [0, 1]; None for the selector's own.

        Raises:
            TypeError: not a sketch, but a file's path for example.
            ValueError: `top` below 1, a tradeoff out of range or not wanted by the selector.
        """
        return self.search_many([sketch], top, tradeoff)[0]

    def search_many(
        self, sketches: Sequence[VectorSketch], top: int = 10, tradeoff: float | None = None, threads: int = 1
    ) -> list[Answer]:
        """`search` for many sketches, in batches of `BATCH`: sketches on the same canvas are embedded together.

        `threads` batches are searched at once; use `load(threads=1)` then, so that onnxruntime adds no threads.

        Distances may differ from those of `search` in their last bits, like products of matrices of other sizes.
        """
        for sketch in sketches:
            if not isinstance(sketch, VectorSketch):
                raise TypeError(f"a search needs a VectorSketch, as read_svg(PATH) gives it, not {sketch!r:.60}")
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        chooser = self._chooser(tradeoff)
        batches = [sketches[start : start + BATCH] for start in range(0, len(sketches), BATCH)]
        search = partial(self._search, chooser, top)
        if min(threads, len(batches)) < 2:
            return [answer for batch in batches for answer in search(batch)]
        with ThreadPoolExecutor(threads) as pool:
            return [answer for answers in pool.map(search, batches) for answer in answers]

    def _search(self, chooser: _Chooser, top: int, sketches: Sequence[VectorSketch]) -> list[Answer]:
        if chooser.name not in self._warm:
            chooser.choose(sketches[0], [])
            self._warm.add(chooser.name)
        begun = [_Begun(sketch) for sketch in sketches]
        going = begun
        while going:
            rooms: dict[int, list[_Begun]] = {}
            for one in going:
                if (canvas := one.ask(chooser)) is not None:
                    rooms.setdefault(canvas, []).append(one)
            for canvas, group in rooms.items():
                if canvas not in self._warm:
                    self._look([group[0].sketch], canvas, top)
                    self._warm.add(canvas)
                seen = self._look([one.sketch for one in group], canvas, top)
                for one, look, embedding in zip(group, *seen, strict=True):
                    one.looks.append(look)
                    one.embeddings.append(embedding)
            going = [one for group in rooms.values() for one in group]
        if self.ranking == "fused":
            for one in begun:
                self._fuse(one, top)
        fixed = self.student.canvases[-1]
        gflops = self.student.flops(fixed) / _GIGA
        limits = strangers.limits(self.student.weights_hash)
        return [one.answer(top, chooser.name, limits, fixed, gflops) for one in begun]

    def _look(self, sketches: Sequence[VectorSketch], canvas: int, top: int) -> tuple[list[Look], NDArray[np.float32]]:
        """One look at each sketch on one canvas, and the embeddings (n, D)."""
        if canvas not in self.student.canvases:
            raise ValueError(f"the selector chose canvas {canvas}; the student has {list(self.student.canvases)}")
        times = [perf_counter()]
        rasters = rasterise_batch(sketches, canvas)
        times.append(perf_counter())
        with self._turn:
            # The time spent waiting for other threads is not counted.
            times.append(perf_counter())
            embeddings = self.student.embed_rasters(rasters)
            times.append(perf_counter())
        # A cascade always sees the first `TOP`.
        found = self._hits(*nearest_photos(embeddings, self.index.embeddings, max(top, TOP)))
        times.append(perf_counter())
        spent = {
            "raster": times[1] - times[0],
            "student": times[3] - times[2],
            "rank": times[4] - times[3],
        }
        milliseconds = {stage: 1e3 * seconds / len(sketches) for stage, seconds in spent.items()}
        gflops = self.student.flops(canvas) / _GIGA
        return [Look(canvas, gflops, hits, milliseconds) for hits in found], embeddings

    def _fuse(self, search: _Begun, top: int) -> None:
        """Rank by all looks of a search together."""
        start = perf_counter()
        together = fused_distance(euclidean(np.stack(search.embeddings), self.index.embeddings))[None]
        places = nearest(together, top)
        [search.fused] = self._hits(places, np.take_along_axis(together, places, axis=1))
        search.fusing = perf_counter() - start

    def _hits(self, places: NDArray[np.int64], distances: NDArray[np.float64]) -> list[tuple[Hit, ...]]:
        """Hits of n queries from (n, k) places in the index and their distances."""
        return [
            tuple(Hit(self.index.ids[place], far) for place, far in zip(row, line, strict=True))
            for row, line in zip(places.tolist(), distances.tolist(), strict=True)
        ]

    def _chooser(self, tradeoff: float | None) -> _Chooser:
        if tradeoff is None:
            selector: Any = self.selector
            if isinstance(selector, CascadeSelector):
                return _Chooser(self.names[0], selector.next, selector.gflops, again=True)
            return _Chooser(self.names[0], lambda sketch, looks: selector(sketch), selector.gflops, again=False)
        if self._preference is not None and self._told is None:
            self._told = self._preference()
        told: Any = self.selector if self._told is None else self._told
        if isinstance(told, FixedCanvas | CascadeSelector):
            raise ValueError(f"this selector cannot be told a tradeoff: leave out {tradeoff}, or the selector")
        name = self.names[0] if self._told is None else self.names[1]
        return _Chooser(
            name,
            lambda sketch, looks: told(sketch, tradeoff),
            lambda sketch: told.gflops(sketch, tradeoff),
            again=False,
        )


@dataclass(frozen=True)
class _Chooser:
    """Any selector: its name, where to look next, and GFLOPs of one decision."""

    name: str
    choose: Callable[[VectorSketch, Sequence[Look]], int | None]
    gflops: Callable[[VectorSketch], float]
    again: bool  # chooses again after each look


class _Begun:
    """The state of one search."""

    def __init__(self, sketch: VectorSketch) -> None:
        self.sketch = sketch
        self.looks: list[Look] = []
        self.embeddings: list[NDArray[np.float32]] = []  # one for each look
        self.fused: tuple[Hit, ...] | None = None
        self.fusing = 0.0  # seconds
        self._selector_gflops = 0.0
        self._seconds = 0.0

    def ask(self, chooser: _Chooser) -> int | None:
        """Where to look next; None when the search has ended."""
        if self.looks and not chooser.again:
            return None
        start = perf_counter()
        canvas = chooser.choose(self.sketch, self.looks)
        self._seconds += perf_counter() - start
        self._selector_gflops += chooser.gflops(self.sketch)
        if canvas is None and not self.looks:
            raise ValueError("the selector stopped before it had looked")
        # Choosing the same canvas again ends the search.
        return None if canvas in [look.canvas for look in self.looks] else canvas

    def answer(
        self, top: int, selector: str, limits: Mapping[int, float], fixed_canvas: int, fixed_gflops: float
    ) -> Answer:
        """The answer; `limits` are those of `strangers.limits`."""
        looks = tuple(Look(look.canvas, look.gflops, look.hits[:top], look.milliseconds) for look in self.looks)
        milliseconds = {"selector": 1e3 * self._seconds}
        for stage in STAGES[1:]:
            milliseconds[stage] = sum(look.milliseconds[stage] for look in looks)
        milliseconds["rank"] += 1e3 * self.fusing
        hits = looks[-1].hits if self.fused is None else self.fused
        limit = limits.get(looks[-1].canvas)
        return Answer(
            hits=hits,
            nothing_near=None if limit is None else hits[0].distance > limit,
            selector=selector,
            canvas=looks[-1].canvas,
            looks=looks,
            gflops=sum(look.gflops for look in looks),
            selector_gflops=self._selector_gflops,
            milliseconds={**milliseconds, "total": sum(milliseconds.values())},
            fixed_canvas=fixed_canvas,
            fixed_gflops=fixed_gflops,
        )
