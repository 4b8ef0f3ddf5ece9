"""Selectors to ONNX, and what int8 costs a student; `agents.runtime` runs what is written here without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents import statistics
from agents.runtime import OnnxSelector
from agents.saved import SavedSelector
from agents.selectors import POINT_DIM, Selector
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.features import FEATURE_NAMES
from sketchcanvas_env.files import write_json
from sketchcanvas_env.sketch import VectorSketch
from students.evaluation import ranks_of
from students.latency import machine
from students.onnx_export import require_onnx, to_onnx, write_export
from students.runtime import SELECTOR, STUDENT_INT8, OnnxStudent, read_card

TOLERANCE = 1e-4
"""The farthest that logits of torch and onnxruntime may lie apart."""

COST_COLUMNS = ("canvas", "float32", "int8", "difference")

TRADEOFFS = (0.05, 0.2, 0.6)
"""At which conditioned selectors are compared."""


def export(saved: SavedSelector, folder: str | os.PathLike[str], sketches: Sequence[VectorSketch]) -> OnnxSelector:
    """Write a selector's graph and its card, once what it decides agrees with torch.

    Args:
        saved: a selector that sees the strokes alone (`agents.load`).
        folder: where to; a selector that lies there is replaced.
        sketches: some, to compare on.

    Returns:
        The exported selector, as it was read back.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        ValueError: a selector of a cascade, no sketch, or logits farther apart than `TOLERANCE`.
        OSError: the disk is full.
    """
    require_onnx()
    reads = getattr(getattr(saved, "selector", None), "reads", ("looks",))
    if set(reads) - {"points", "stats", "tradeoff"}:
        raise ValueError("only selectors that see the strokes alone can be exported, not one that looks again")
    if not len(sketches):
        raise ValueError("give some sketches: an export is compared on them")
    example = _example(saved)
    graph = to_onnx(_ByPosition(saved.selector), example, "logits", batch=False)
    card = {
        "kind": SELECTOR,
        "name": saved.selector.name,
        "source": {
            "weights_sha256": saved.card["weights_sha256"],
            "algorithm": saved.card["algorithm"],
            "trained_on": saved.card["trained_on"],
        },
        "canvases": list(saved.canvases),
        "max_points": saved.max_points,
        "reads": list(reads),
        # For every number of points a drawing can have, 1 to max_points: the rule is the network's own.
        "flops": [_flops(saved, example, n) for n in range(1, saved.max_points + 1)],
        "input": "float32: points (1, max_points * 5) stroke-5 rows, stats (1, 16), tradeoff (1, 1), those it reads",
        "output": "float32 (1, canvases) named logits; the highest is chosen",
        "tolerance": TOLERANCE,
    }
    files = {f"{SELECTOR}.onnx": graph.SerializeToString(deterministic=True)}
    with TemporaryDirectory(prefix="export-") as scratch:
        write_export(scratch, card, files)
        farthest = _farthest(saved, OnnxSelector.load(scratch), sketches)
    if not farthest <= TOLERANCE:
        raise ValueError(f"not exported: logits of torch and onnxruntime lie up to {farthest:g} apart")
    write_export(folder, {**card, "farthest": farthest}, files)
    return OnnxSelector.load(folder)


def record_int8_cost(folder: str | os.PathLike[str], dataset: SketchDataset, split: str) -> dict[str, Any]:
    """Measure acc@1 of an exported student at int8 against float32, and write it into the card of the former.

    Args:
        folder: of the exports.
        dataset: sketches and photos.
        split: whose sketches are ranked.

    Returns:
        What the card's "accuracy" says from now on: data set, split, and for each canvas "side", "float32" and "int8"
        (shares), "difference", "low" and "high" (95 %, photos resampled).

    Raises:
        FileNotFoundError: one of the two was not exported.
        ValueError: a split without sketches.
    """
    exports = [OnnxStudent.load(folder, precision) for precision in ("float32", "int8")]
    sides = exports[0].canvases
    rows = dataset.indices(split)
    whole, small = (ranks_of(one, dataset, split, sides, progress=True)[0] == 1 for one in exports)
    records = []
    for column, side in enumerate(sides):
        found = statistics.paired_difference(small[:, column], whole[:, column], dataset.photo_ids[rows])
        low, high = found.interval
        accuracy = {"float32": float(whole[:, column].mean()), "int8": float(small[:, column].mean())}
        records.append({"side": side, **accuracy, "difference": found.value, "low": low, "high": high})
    cost = {
        "dataset": dataset.name,
        "dataset_hash": dataset.hash,
        "split": split,
        "sketches": len(rows),
        "gallery": len(dataset.gallery(split)),
        "cpu": machine()["cpu"],  # int8 arithmetic is not the same on all
        "canvases": records,
    }
    card = read_card(Path(folder), STUDENT_INT8)
    write_json(Path(folder) / f"{STUDENT_INT8}.json", {**card, "accuracy": cost}, indent=2)
    return cost


def cost_cells(cost: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What `record_int8_cost` gave as the cells of a table, under `COST_COLUMNS`; percent."""
    return [
        (
            str(one["side"]),
            f"{100 * one['float32']:.1f}",
            f"{100 * one['int8']:.1f}",
            f"{100 * one['difference']:+.1f} [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]",
        )
        for one in cost["canvases"]
    ]


class _ByPosition(nn.Module):
    """A selector whose observations come one by one, in the order of what it reads."""

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self.selector = selector

    def forward(self, *seen: Tensor) -> Tensor:
        logits: Tensor = self.selector(dict(zip(self.selector.reads, seen, strict=True)))
        return logits


def _example(saved: SavedSelector) -> dict[str, Tensor]:
    """An observation of a drawing with as many points as there may be, in the order of what is read."""
    points = torch.zeros((1, saved.max_points, POINT_DIM))
    points[..., 2] = 1.0  # pen down throughout
    parts = {
        "points": points.reshape(1, -1),
        "stats": torch.zeros((1, len(FEATURE_NAMES))),
        "tradeoff": torch.zeros((1, 1)),
    }
    return {name: parts[name] for name in saved.selector.reads}


def _flops(saved: SavedSelector, example: dict[str, Tensor], n_points: int) -> float:
    """FLOPs (2 x MAC) of deciding about a drawing of so many points."""
    seen = dict(example)
    if "points" in seen:
        points = seen["points"].reshape(1, -1, POINT_DIM).clone()
        points[:, n_points:, 4] = 1.0
        seen["points"] = points.reshape(1, -1)
    return float(saved.selector.flops(seen)[0])


def _farthest(saved: SavedSelector, exported: OnnxSelector, sketches: Sequence[VectorSketch]) -> float:
    """The largest difference of a logit between torch and onnxruntime."""
    farthest = 0.0
    for sketch in sketches:
        for tradeoff in TRADEOFFS if saved.selector.conditioned else (None,):
            with torch.inference_mode():
                ours = saved.selector(saved.selector.observe(sketch, saved.max_points, tradeoff))[0].numpy()
            # NaN would pass for nothing with max().
            farthest = float(np.maximum(farthest, np.abs(ours - exported.logits(sketch, tradeoff)).max()))
    return farthest
