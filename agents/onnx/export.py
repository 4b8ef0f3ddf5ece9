"""Exports selectors as ONNX graphs, and measures the accuracy that int8 costs a student."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from agents.evaluation import bootstrap
from agents.onnx.selector import OnnxCascade, OnnxSelector, selector_graph
from agents.selectors.base import Selector
from agents.selectors.decision import NEAR_TIE
from agents.selectors.observation import SeenLook
from agents.store.saved import SavedCascade, SavedSelector, load, shipped
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.outcomes.reward import MAX_DISTANCE
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import write_json
from students.onnx.export import require_onnx, to_onnx, write_export
from students.onnx.runtime import SELECTOR, STUDENT_INT8, OnnxStudent, read_card
from students.tables.evaluation import ranks_of
from students.tables.latency import machine

TOLERANCE = 1e-4
"""Largest difference allowed between logits of torch and onnxruntime."""

_STROKES = "points (1, max_points * 5) stroke-5 rows, stats (1, 16), thumbnail (1, 256)"
_INPUT = f"{_STROKES}, tradeoff (1, 1)"
_CASCADE_INPUT = (
    f"{_STROKES}, looks (1, L) as sketchcanvas_env.outcomes.looks.look_feature_names has it, last (1, canvases)"
)

TRADEOFFS = (0.05, 0.2, 0.6)
"""Tradeoffs at which conditioned selectors are compared."""


def export(saved: SavedSelector, folder: str | os.PathLike[str], sketches: Sequence[VectorSketch]) -> OnnxSelector:
    """Write a selector's graph and card, after comparing its logits with torch.

    Args:
        saved: a selector (`agents.load`), cascades included.
        folder: for the files; a selector in it is replaced.
        sketches: to compare on, at least one.

    Returns:
        The exported selector, read back.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        ValueError: no sketch, or logits farther apart than `TOLERANCE`.
        OSError: the disk is full.
    """
    require_onnx()
    if not len(sketches):
        raise ValueError("give some sketches: an export is compared on them")
    example = saved.example(saved.max_points)
    cascade = {"ranking": saved.ranking, "costs": list(saved.costs)} if isinstance(saved, SavedCascade) else {}
    graph = to_onnx(_ByPosition(saved.selector), example, "logits", batch=False)
    card = {
        "kind": SELECTOR,
        "name": saved.selector.name,
        "source": {
            "weights_sha256": saved.card["sha256"],
            "algorithm": saved.card["algorithm"],
            "trained_on": saved.card["trained_on"],
        },
        "canvases": list(saved.canvases),
        "max_points": saved.max_points,
        "reads": list(example),
        # For every number of points, 1 to max_points, counted by the network.
        "flops": [saved.flops(n) for n in range(1, saved.max_points + 1)],
        "input": f"float32, those it reads: {_CASCADE_INPUT if cascade else _INPUT}",
        "output": f"float32 (1, canvases{' + 1, to stop' if cascade else ''}) named logits",
        "choice": f"the highest; of those within {NEAR_TIE:g} of it stopping, then the smallest canvas",
        "tolerance": TOLERANCE,
        **({"cascade": cascade} if cascade else {}),
    }
    files = {f"{SELECTOR}.onnx": graph.SerializeToString(deterministic=True)}
    with TemporaryDirectory(prefix="export-") as scratch:
        write_export(scratch, card, files)
        farthest = _farthest(saved, OnnxSelector.load(scratch), sketches)
    if not farthest <= TOLERANCE:
        raise ValueError(f"not exported: logits of torch and onnxruntime lie up to {farthest:g} apart")
    write_export(folder, {**card, "farthest": farthest}, files)
    return OnnxSelector.load(folder)


def export_shipped(sketches: Sequence[VectorSketch]) -> list[Path]:
    """Export every shipped selector to `agents.onnx.selector.GRAPHS_FOLDER`; as `export`."""
    folders = []
    for name in shipped():
        folders.append(selector_graph(name))
        folders[-1].mkdir(parents=True, exist_ok=True)
        export(load(name), folders[-1], sketches)
    return folders


def record_int8_cost(folder: str | os.PathLike[str], dataset: SketchDataset, split: str) -> dict[str, Any]:
    """Measure acc@1 of an exported student at int8 and at float32, and write the difference into the int8 card.

    Args:
        folder: of the exports.
        dataset: sketches and photos.
        split: whose sketches are ranked.

    Returns:
        The card's new "accuracy": data set, split, and for each canvas "side", "float32" and "int8" (shares),
        "difference", "low" and "high" (95 %, photos resampled).

    Raises:
        FileNotFoundError: either was not exported.
        ValueError: a split without sketches.
    """
    exports = [OnnxStudent.load(folder, precision) for precision in ("float32", "int8")]
    sides = exports[0].canvases
    rows = dataset.indices(split)
    whole, small = (ranks_of(one, dataset, split, sides, progress=True)[0] == 1 for one in exports)
    records = []
    for column, side in enumerate(sides):
        found = bootstrap.paired_difference(small[:, column], whole[:, column], dataset.photo_ids[rows])
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


class _ByPosition(nn.Module):
    """A selector that takes its inputs as positional arguments, in the order of `reads`."""

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        self.selector = selector

    def forward(self, *seen: Tensor) -> Tensor:
        logits: Tensor = self.selector(dict(zip(self.selector.reads, seen, strict=True)))
        return logits


def _farthest(saved: SavedSelector, exported: OnnxSelector, sketches: Sequence[VectorSketch]) -> float:
    """The largest difference between logits of torch and onnxruntime."""
    farthest = 0.0
    for number, sketch in enumerate(sketches):
        for ours, theirs in _answers(saved, exported, sketch, number):
            # max() would lose NaN.
            farthest = float(np.maximum(farthest, np.abs(ours - theirs).max()))
    return farthest


def _answers(
    saved: SavedSelector, exported: OnnxSelector, sketch: VectorSketch, seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Logits of torch and of onnxruntime, at several tradeoffs or after several looks."""
    if isinstance(saved, SavedCascade) and isinstance(exported, OnnxCascade):
        looks = _some_looks(saved.canvases, seed)
        for n in range(len(looks) + 1):
            yield saved.logits(sketch, None, looks[:n]), exported.logits(sketch, None, looks[:n])
    else:
        for tradeoff in TRADEOFFS if saved.selector.conditioned else (None,):
            yield saved.logits(sketch, tradeoff), exported.logits(sketch, tradeoff)


def _some_looks(canvases: Sequence[int], seed: int) -> list[SeenLook]:
    """Made-up looks at every canvas, in random order, that show five of eight photos."""
    rng = np.random.default_rng(seed)
    return [
        SeenLook(side, rng.permutation(8)[:TOP].tolist(), np.sort(rng.uniform(0.0, MAX_DISTANCE, TOP)).tolist())
        for side in rng.permutation(canvases).tolist()
    ]


if __name__ == "__main__":
    from sketchcanvas_env.data import load as load_data

    emoji = load_data("emoji")
    for folder in export_shipped([emoji.sketch(int(row)) for row in emoji.indices("student")[::64]]):
        print(folder)
