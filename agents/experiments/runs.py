"""Many training runs: each is a job of its own, and a finished one is a file that is never computed again.

The file is a saved selector (`agents.store.saved`), NAME.safetensors; its card says how long the run took and what it
earned on `val` meanwhile. The name holds a hash of everything that the result depends on. So the same command goes on
where a killed one stopped, and another setting or another table never takes an old file for its own.

Jobs run in this process, in others on this machine (joblib), or on a Ray cluster. A worker that dies loses its job, not
the files; the job is tried again, alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.algorithms import registry as algorithms
from agents.algorithms.common.curves import CurvePoint
from agents.algorithms.common.training import TrainConfig
from agents.evaluation.setting import Decided, EnvConfig, env_from_json
from agents.experiments.workers import Job, Start, Workers, finished
from agents.store import saved
from agents.store.saved import SavedSelector
from sketchcanvas_env.outcomes.table import OutcomeTable

TRAIN_SPLIT = "train"


class RunsError(RuntimeError):
    """Runs that could not be finished although they were tried again; what did finish is on disk."""


@dataclass(frozen=True)
class StoredRun:
    """A finished run, as read from its file or from a pack of many (`agents.experiments.pack`).

    Attributes:
        name: by `name_of`.
        config: what was asked for.
        card: of the selector, as `agents.store.saved` writes it.
        seconds: wall-clock time of the training, evaluations for the curve left out.
        curve: what the selector earned on `val` in the course of it.
        selector: the trained selector; None where its weights were not kept.
        decisions: by split, (N,) int64, the option that each sketch ends with; of the splits that were looked at.
    """

    name: str
    config: TrainConfig
    card: dict[str, Any]
    seconds: float
    curve: tuple[CurvePoint, ...]
    selector: SavedSelector | None
    decisions: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)

    def decide(self, split: str, tradeoff: float | None = None) -> npt.NDArray[np.int64]:
        """(N,) the option that each sketch of a split ends with, stored or computed.

        Args:
            split: of the data set.
            tradeoff: at which a selector that was trained with preferences is asked; others are asked at their own.

        Raises:
            ValueError: neither these decisions nor weights were kept.
        """
        key = self._key(split, tradeoff)
        if key in self.decisions:
            return self.decisions[key]
        if self.selector is None:
            raise ValueError(f"{self.name}: neither its weights nor its decisions on the split {key!r} were kept")
        return self._env(tradeoff).choose(self.selector.selector, split)

    def decided(self, split: str, tradeoff: float | None = None) -> Decided:
        """What it does on a split: `decide`, and (N,) FLOPs (2 x MAC) of deciding."""
        choice = self.decide(split, tradeoff)
        # They depend on sizes only, so an untrained network of the same make will do.
        network = saved.network_of(self.card, self.name) if self.selector is None else self.selector.selector
        return choice, self._env(tradeoff).thinking(network, split, choice)

    def with_decisions(self, splits: Iterable[str], tradeoff: float | None = None) -> StoredRun:
        """The run with its decisions on more splits."""
        more = {self._key(split, tradeoff): self.decide(split, tradeoff) for split in splits}
        return replace(self, decisions={**self.decisions, **more})

    def _env(self, tradeoff: float | None) -> EnvConfig:
        env = self.config.env
        return env if env.preferences is None or tradeoff is None else env.at(tradeoff)

    def _key(self, split: str, tradeoff: float | None) -> str:
        """Under which decisions are kept; those of a selector without preferences hold at every tradeoff."""
        return split if self.config.env.preferences is None else f"{split}@{tradeoff}"


def name_of(config: TrainConfig, table: OutcomeTable, curve_every: int) -> str:
    """A run's name: algorithm, network and seed for people, and a hash of what the result depends on.

    Args:
        config: all settings, seed included.
        table: the outcomes that it learns from.
        curve_every: steps between two points of its learning curve.
    """
    parts = [config.to_json(), table.hash, table.dataset_hash, curve_every, *config.env.extra_hashes().values()]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
    return f"{config.algorithm}-{config.selector}-{config.seed}-{digest}"


def run_all(
    configs: Sequence[TrainConfig],
    folder: str | Path,
    *,
    workers: Workers | None = None,
    curve_every: int = 2_560,
    start_bar: Start | None = None,
    logdir: Path | None = None,
    packed: Mapping[str, StoredRun] | None = None,
) -> list[StoredRun]:
    """Finish all runs: those that have no file in `folder` yet are trained, and written as soon as they end.

    Args:
        configs: the runs, each with settings of its own.
        folder: where the files are.
        workers: where to train, None for this process.
        curve_every: environment steps between two points of a learning curve.
        start_bar: starts a progress bar of a title and a total, None for none.
        logdir: TensorBoard folder with one folder a run, None for none.
        packed: finished runs by name that need no file (`agents.experiments.pack`).

    Returns:
        The runs in the order of `configs`.

    Raises:
        ValueError: two equal runs, or settings that cannot be trained with.
        RunsError: workers died again and again; the message says how many runs are left.
        ImportError: the engine "ray" without the package.
    """
    where, ready = workers or Workers(), packed or {}
    rows = [Path(folder) / name_of(config, _outcomes(config), curve_every) for config in configs]
    if len(set(rows)) != len(rows):
        raise ValueError("two of the runs are the same: give each a seed or a setting of its own")
    jobs = {
        row: Job(
            algorithms.find(config.algorithm, config.env),
            config,
            curve_every,
            None if logdir is None else logdir / row.name,
        )
        for row, config in zip(rows, configs, strict=True)
    }
    left = {row: job for row, job in jobs.items() if row.name not in ready and not _is_there(row)}
    tell = start_bar("runs", len(jobs)) if start_bar is not None else lambda done: None
    tell(len(jobs) - len(left))
    for row, (run, curve) in finished(left, where, start_bar):
        saved.save(row, run, _outcomes(run.config), curve)
        del left[row]
        tell(len(jobs) - len(left))
    if left:
        raise RunsError(
            f"{len(left)} of {len(jobs)} runs were lost, each with its worker {where.retries + 1} times; the others "
            f"are in {folder}, and the same command goes on from there"
        )
    return [ready[row.name] if row.name in ready else read(row) for row in rows]


def read(path: str | Path) -> StoredRun:
    """A run from its file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or a selector that was saved on its own and says nothing of its run.
    """
    selector, file = saved.load(path), saved.weights_path(path)
    return run_of_card(file.stem, selector.card, selector, {}, file)


def run_of_card(
    name: str,
    card: dict[str, Any],
    selector: SavedSelector | None,
    decisions: Mapping[str, npt.NDArray[np.int64]],
    where: str | Path,
) -> StoredRun:
    """A run, its settings read from its card; the message of a ValueError names `where`."""
    told = card.get("run")
    try:
        if not isinstance(told, dict):
            raise ValueError("its card says nothing of the run")
        settings = {**card["config"]}
        config = algorithms.make_config(settings.pop("algorithm"), env=env_from_json(settings.pop("env")), **settings)
        curve = tuple(CurvePoint(**point) for point in told["curve"])
        return StoredRun(name, config, card, float(told["seconds"]), curve, selector, decisions)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where} is not a finished run: {error}") from None


def remove_files(folder: str | Path, names: Iterable[str]) -> None:
    """Remove the files of runs that are packed, and the folder once it is empty."""
    for name in names:
        (Path(folder) / f"{name}{saved.SUFFIX}").unlink(missing_ok=True)
    with suppress(OSError):  # not there, or with files of other runs in it
        Path(folder).rmdir()


def find(
    packed: Mapping[str, StoredRun], config: TrainConfig, table: OutcomeTable, curve_every: int, folder: str | Path
) -> StoredRun:
    """The packed run of these settings; arguments of `name_of`.

    Where there is none, it is that of the same algorithm, network, seed, environment and budget whose other settings
    were the defaults of an earlier version: a stored comparison does not name them, but its runs do.

    Raises:
        FileNotFoundError: no such run; the message names the folder.
    """
    name = name_of(config, table, curve_every)
    if name in packed:
        return packed[name]
    for other, run in sorted(packed.items()):
        same = (run.config.env, run.config.total_steps) == (config.env, config.total_steps)
        if same and other.startswith(f"{config.algorithm}-{config.selector}-{config.seed}-"):
            return run
    raise FileNotFoundError(f"{folder} holds no run {name}: the command that made it trains what is missing")


def stored_outcomes(env: EnvConfig, folder: str | Path) -> OutcomeTable:
    """The outcomes that stored runs were trained on.

    Args:
        env: their environment, as the result in `folder` names it.
        folder: of the comparison or sweep.

    Raises:
        FileNotFoundError: no such table or data set; where paths are relative, the message says from where they lead.
        ValueError: as `EnvConfig.outcomes`.
    """
    try:
        return env.outcomes(TRAIN_SPLIT)
    except FileNotFoundError as error:
        named = [path for path in (env.table, env.dataset.partition(":")[2]) if path]
        relative = [path for path in named if not Path(path).expanduser().is_absolute()]
        if not relative:
            raise
        raise FileNotFoundError(
            f"{error}; {folder} names {' and '.join(relative)} as seen from where it was made: run this command there"
        ) from None


def _outcomes(config: TrainConfig) -> OutcomeTable:
    return config.env.outcomes(TRAIN_SPLIT)


def _is_there(row: Path) -> bool:
    """Whether a run has a file; a damaged one is an error, not overwritten."""
    if not saved.weights_path(row).exists():
        return False
    read(row)
    return True
