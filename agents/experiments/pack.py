"""The runs of a comparison or sweep in one file, `runs.safetensors`, beside its result.

While runs are being trained each is a file of its own (`runs.run_all`), so that nothing is lost when a process dies.
When all are there they are packed: settings, learning curves, what each selector decides on the splits that were looked
at, and weights. Figures follow from the decisions, which are integers, so they are the same on every machine. Weights
may be left out: then a run can be evaluated on those splits only, and its decisions cannot be checked.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.algorithms.common.curves import CurvePoint
from agents.experiments.runs import StoredRun, run_of_card
from agents.store import saved
from students.store import cards

PACK_FILE = "runs.safetensors"
KIND = "runs"

_MAX_CARD_BYTES = 16 << 20
_MAX_BYTES = 1 << 30
_CURVE = ("steps", "seconds", "reward", "acc1", "gflops")


def write(folder: str | Path, runs: Iterable[StoredRun], weights_of: Collection[int] | None = None) -> Path:
    """Pack runs, atomically.

    Args:
        folder: of the comparison or sweep.
        runs: finished runs, each with its own name.
        weights_of: seeds whose weights are kept, None for all.

    Returns:
        The path of the file.
    """
    tensors: dict[str, torch.Tensor] = {}
    values: dict[str, int] = {}
    table: dict[str, dict[str, int]] = {}
    for run in runs:
        # Most runs share most of their settings: each value is written once, and runs name it by its number.
        told = {**run.card, "config": {**run.card["config"]}, "seed": run.config.seed, "seconds": run.seconds}
        told["config"].pop("seed")
        told["run"] = {"steps": run.card["run"]["steps"]}
        told.pop("kind", None)
        table[run.name] = {
            field: values.setdefault(json.dumps(value, sort_keys=True), len(values)) for field, value in told.items()
        }
        curve = np.array([[getattr(point, field) for field in _CURVE] for point in run.curve], dtype=np.float64)
        tensors[f"{run.name}/curve"] = torch.from_numpy(curve.reshape(-1, len(_CURVE)))
        for split, choice in run.decisions.items():
            tensors[f"{run.name}/decisions/{split}"] = torch.from_numpy(_small(choice))
        if run.selector is not None and (weights_of is None or run.config.seed in weights_of):
            for name, tensor in run.selector.selector.state_dict().items():
                tensors[f"{run.name}/weights/{name}"] = tensor
    path = Path(folder) / PACK_FILE
    card = {"values": [json.loads(value) for value in values], "runs": table}
    cards.write(path, tensors, card, KIND, _MAX_CARD_BYTES)
    return path


def read(folder: str | Path) -> dict[str, StoredRun]:
    """The packed runs of a folder, by name; none if there is no such file.

    Raises:
        ValueError: a damaged file.
    """
    path = Path(folder) / PACK_FILE
    if not path.exists():
        return {}
    card, tensors = cards.read(path, KIND, lambda _: _MAX_BYTES, max_card_bytes=_MAX_CARD_BYTES)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        run, _, part = name.partition("/")
        parts.setdefault(run, {})[part] = tensor
    try:
        return {name: _run(name, _told(card, name), parts[name], path) for name in card["runs"]}
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from None


def extract(folder: str | Path, name: str, path: str | Path) -> Path:
    """Write one packed selector to a file of its own, which `agents.load` reads.

    Args:
        folder: of the comparison or sweep.
        name: of the run.
        path: where to, with or without the ending .safetensors.

    Returns:
        The path of the file.

    Raises:
        ValueError: no such run, or one whose weights were left out.
    """
    run = read(folder).get(name)
    if run is None or run.selector is None:
        raise ValueError(f"{Path(folder) / PACK_FILE} holds no weights of a run {name!r}")
    file = saved.weights_path(path)
    cards.write(file, run.selector.selector.state_dict(), run.card, saved.KIND)
    return file


def _told(card: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The fields of a run, its numbers replaced by the values that they stand for."""
    return {field: card["values"][number] for field, number in card["runs"][name].items()}


def _run(name: str, told: dict[str, Any], parts: Mapping[str, torch.Tensor], path: Path) -> StoredRun:
    where = f"{path}: {name}"
    seed, seconds = told.pop("seed"), told.pop("seconds")
    told["config"] = {**told["config"], "seed": seed}
    points = parts["curve"].numpy()
    if points.ndim != 2 or points.shape[1] != len(_CURVE):
        raise ValueError(f"{where}: its learning curve is not (points, {len(_CURVE)})")
    curve = tuple(CurvePoint(int(point[0]), *point[1:].tolist()) for point in points)
    told["run"] = {**told["run"], "seconds": seconds, "curve": [point.to_json() for point in curve]}
    weights = {part.removeprefix("weights/"): t for part, t in parts.items() if part.startswith("weights/")}
    decisions = {
        part.removeprefix("decisions/"): t.numpy().astype(np.int64)
        for part, t in parts.items()
        if part.startswith("decisions/")
    }
    return run_of_card(name, told, saved.from_card(told, weights, where) if weights else None, decisions, where)


def _small(choice: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, Any]:
    """Choices in the smallest unsigned integers that hold them."""
    return choice.astype(np.uint8 if choice.max(initial=0) < 256 else np.uint16)
