"""Stored comparisons: read again from their packed runs, and checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.algorithms.common.training import pinned_threads
from agents.evaluation.setting import env_from_json
from agents.experiments import pack, runs
from agents.experiments.compare import evaluate_comparison
from agents.experiments.results import CompareResult
from agents.experiments.runs import StoredRun
from agents.experiments.settings import CompareConfig
from sketchcanvas_env.storage.files import read_json

RESULT_FILE = "result.json"
MAX_RESULT_BYTES = 64 << 20

TOLERANCE = 1e-9
"""How far a stored number may be from the one that follows, relative above 1: processors round sums differently."""


def reread(folder: str | Path) -> CompareResult:
    """A stored comparison, evaluated anew from its stored decisions: nothing is trained.

    Args:
        folder: of a comparison, with its result and its runs.

    Raises:
        FileNotFoundError: no result, or a run, its table or its data set is missing.
        ValueError: a damaged file.
    """
    return evaluate_comparison(*read_runs(folder))


def read_runs(folder: str | Path) -> tuple[CompareConfig, dict[str, list[StoredRun]]]:
    """The settings and the runs of each agent of a stored comparison; arguments and errors of `reread`."""
    config = read_config(folder)
    table = runs.stored_outcomes(config.env, folder)
    packed = pack.read(folder)
    return config, {
        agent: [runs.find(packed, one, table, config.curve_every, folder) for one in of_agent]
        for agent, of_agent in config.runs().items()
    }


def read_config(folder: str | Path) -> CompareConfig:
    """The settings of a stored comparison.

    Raises:
        FileNotFoundError: no result in the folder.
        ValueError: a damaged one.
    """
    settings = read_result(folder)["config"]
    try:
        return CompareConfig(env=env_from_json(settings.pop("env")), **settings)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{Path(folder) / RESULT_FILE} is no result of a comparison: {error}") from None


def read_result(folder: str | Path) -> dict[str, Any]:
    """What `CompareResult.save` wrote, as JSON values.

    Raises:
        FileNotFoundError: no result in the folder.
        ValueError: a damaged one.
    """
    path = Path(folder) / RESULT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no comparison in {folder}: {path} is missing")
    stored = read_json(path, MAX_RESULT_BYTES)
    if not isinstance(stored, dict) or not {"config", "provenance"} <= stored.keys():
        raise ValueError(f"{path} is no result of a comparison")
    return stored


@dataclass(frozen=True)
class Validation:
    """What checking a stored comparison found.

    Attributes:
        differences: what does not follow, a line each.
        numbers: numbers compared, each within `TOLERANCE`.
        runs: runs whose decisions they follow from.
        decisions: decisions that were made again from stored weights, each of which must be the same.
        weights: runs whose weights are stored.
    """

    differences: tuple[str, ...]
    numbers: int
    runs: int
    decisions: int
    weights: int


def validate(folder: str | Path) -> Validation:
    """Whether a stored comparison follows from its runs.

    Every number is computed again from the stored decisions and compared; those that say when and where something ran
    are not. Every selector whose weights are stored decides again about every sketch.

    Raises:
        FileNotFoundError: no result, or a run is missing.
        ValueError: a damaged file.
    """
    stored, (config, trained) = read_result(folder), read_runs(folder)
    again = evaluate_comparison(config, trained).to_json()
    compared = _Comparison()
    for name in ("config", "rows", "verdicts", "profile_thresholds", "hull", "front"):
        # Through JSON, so that tuples and lists, 1 and 1.0, are alike.
        compared.add(name, stored.get(name), json.loads(json.dumps(again[name])))
    for name in ("table_hash", "student_hash", "dataset_hash", *config.env.extra_hashes()):
        compared.add(f"provenance.{name}", stored["provenance"].get(name), again["provenance"][name])
    every = [run for of_agent in trained.values() for run in of_agent]
    decisions = 0
    with pinned_threads(config.threads):
        for run in every:
            if run.selector is None:
                continue
            for split, choice in run.decisions.items():
                differing = int((run.config.env.choose(run.selector.selector, split) != choice).sum())
                decisions += len(choice)
                if differing:
                    compared.lines.append(
                        f"{run.name}: {differing} of {len(choice)} decisions on {split} are not those of its weights"
                    )
    return Validation(
        tuple(compared.lines),
        compared.numbers,
        len(every),
        decisions,
        sum(run.selector is not None for run in every),
    )


class _Comparison:
    """Collects differences between JSON values."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers = 0

    def add(self, where: str, one: Any, other: Any) -> None:
        """Compare two values, parts of equal place with each other."""
        if isinstance(one, dict) and isinstance(other, dict):
            for key in sorted({*one, *other}):
                self.add(f"{where}.{key}", one.get(key), other.get(key))
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            for i, pair in enumerate(zip(one, other, strict=True)):
                self.add(f"{where}[{i}]", *pair)
        elif isinstance(one, float) and isinstance(other, float):
            self.numbers += 1
            if not abs(one - other) <= TOLERANCE * max(1.0, abs(one)):
                self.lines.append(f"{where}: stored {one!r}, now {other!r}")
        elif one != other:
            self.lines.append(f"{where}: stored {one!r}, now {other!r}")
