"""The accuracy-FLOPs trade-off as a dial: selectors at several tradeoffs, their front, and the one to take.

`sweep` trains every agent at every tradeoff, and, if asked for, one preference-conditioned selector an algorithm that
serves all tradeoffs, with the steps that the separate ones had together. Each point of a front is a policy; fronts are
held against the hull of the fixed canvases and against what knowing all outcomes reaches, and put into one number by
`fronts.hypervolume`, whose reference is always the largest canvas on offer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.algorithms.common.training import TrainConfig, pinned_threads
from agents.evaluation import bootstrap, fronts
from agents.evaluation.bootstrap import Interval
from agents.evaluation.evaluate import GIGA, Evaluation, evaluate_runs
from agents.evaluation.options import Options
from agents.evaluation.setting import VAL_SPLIT, Decided, EnvConfig, env_from_json
from agents.experiments import pack, runs
from agents.experiments.compare import RUNS_FOLDER, provenance_of
from agents.experiments.runs import StoredRun
from agents.experiments.settings import CompareConfig
from agents.experiments.stored import MAX_RESULT_BYTES
from agents.experiments.workers import Start, Workers
from sketchcanvas_env.storage.files import read_json

SWEEP_FILE = "sweep.json"
FOR_ALL = "one for all"
"""What the name of a preference-conditioned agent ends with."""


@dataclass(frozen=True)
class SweepConfig:
    """What is swept: a comparison at each of several tradeoffs."""

    compare: CompareConfig = field(default_factory=CompareConfig)  # all but the tradeoff
    tradeoffs: tuple[float, ...] = (0.02, 0.1, 0.2, 0.4, 0.7, 1.0)  # rising
    preference: tuple[str, ...] = ("cost_sensitive",)  # algorithms that also train one selector for all tradeoffs

    def __post_init__(self) -> None:
        """Let lists from JSON pass as tuples, and refuse what is no sweep.

        Raises:
            ValueError: tradeoffs that do not rise or lie outside [0, 1].
        """
        object.__setattr__(self, "tradeoffs", tuple(float(tradeoff) for tradeoff in self.tradeoffs))
        object.__setattr__(self, "preference", tuple(self.preference))
        inside = all(0.0 <= tradeoff <= 1.0 for tradeoff in self.tradeoffs)
        if not self.tradeoffs or not inside or list(self.tradeoffs) != sorted(set(self.tradeoffs)):
            raise ValueError(f"tradeoffs must be one or more different numbers in [0, 1], rising, got {self.tradeoffs}")
        if self.preference and self.compare.env.one_shot() != self.compare.env:
            raise ValueError("a cascade has no preferences: leave out the algorithms that train one for all tradeoffs")

    def at(self, tradeoff: float) -> CompareConfig:
        """The comparison at one tradeoff."""
        return replace(self.compare, env=replace(self.compare.env, tradeoff=tradeoff))

    def shared(self) -> CompareConfig | None:
        """The runs of the preference-conditioned selectors; None if there are none."""
        if not self.preference:
            return None
        env = replace(self.compare.env, preferences=(self.tradeoffs[0], self.tradeoffs[-1]))
        steps = self.compare.total_steps * len(self.tradeoffs)
        return replace(self.compare, env=env, algorithms=self.preference, total_steps=steps)

    def runs(self) -> dict[tuple[str, float], list[TrainConfig]]:
        """The runs behind each point, (agent, tradeoff) -> one for each seed.

        A preference-conditioned agent has the same runs at every tradeoff.

        Raises:
            ValueError: as `CompareConfig.runs`.
        """
        shared = self.shared()
        every = {(agent, t): found for t in self.tradeoffs for agent, found in self.at(t).runs().items()}
        if shared is not None:
            for agent, found in shared.runs().items():
                every |= {(f"{agent}, {FOR_ALL}", t): found for t in self.tradeoffs}
        return every

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-able values."""
        return {**asdict(self), "compare": self.compare.to_json()}


@dataclass(frozen=True)
class Candidate:
    """One policy that can be taken: a trained selector at a tradeoff, or a fixed canvas.

    Attributes:
        agent: of the selector; "fixed" for a canvas.
        tradeoff: at which it is used; None for a canvas.
        canvas: the fixed canvas, pixels; None for a selector.
        seed: of the selector's run; None for a canvas.
        run: its name in the pack of the sweep's runs; None for a canvas.
        val_acc1: acc@1 on `val`, by which it is chosen.
        val_gflops: mean GFLOPs per query there, selector included.
        acc1: acc@1 on the reported split.
        gflops: mean GFLOPs per query there, selector included.
    """

    agent: str
    tradeoff: float | None
    canvas: int | None
    seed: int | None
    run: str | None
    val_acc1: float
    val_gflops: float
    acc1: float
    gflops: float


@dataclass(frozen=True)
class Point:
    """An agent at one tradeoff on the reported split, the mean over its seeds."""

    agent: str
    tradeoff: float
    evaluation: Evaluation

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {"agent": self.agent, "tradeoff": self.tradeoff, **self.evaluation.to_json()}


@dataclass(frozen=True)
class Front:
    """All points of one agent as one number.

    Attributes:
        agent: whose; "fixed" and "oracle" are fronts too.
        hypervolume: accuracy times doublings of cost, see `fronts.hypervolume`; the mean over the seeds' fronts.
        interval: its 95 % interval over photos.
        over_hull: hypervolume above that of coin tosses between fixed canvases, one for each point, at its cost.
        over_hull_interval: its interval, the hull built anew in each resample.
    """

    agent: str
    hypervolume: float
    interval: Interval
    over_hull: float
    over_hull_interval: Interval


@dataclass(frozen=True)
class SweepResult:
    """The whole sweep.

    Attributes:
        config: what was asked for.
        points: every agent at every tradeoff, oracle included, on the reported split.
        fronts: each agent's points as one number.
        candidates: what `pick` chooses from.
        hull: (M, 2) vertices of the hull of the fixed canvases, (FLOPs, acc@1), on the reported split.
        front: (M, 2) vertices of the front that knowing all outcomes reaches.
        reference_flops: FLOPs of the reference point.
        provenance: versions, hashes, machine.
        seconds: wall-clock time of everything.
    """

    config: SweepConfig
    points: tuple[Point, ...]
    fronts: tuple[Front, ...]
    candidates: tuple[Candidate, ...]
    hull: npt.NDArray[np.float64]
    front: npt.NDArray[np.float64]
    reference_flops: float
    provenance: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON-able values."""
        return {
            "config": self.config.to_json(),
            "points": [point.to_json() for point in self.points],
            "fronts": [asdict(front) for front in self.fronts],
            "candidates": [asdict(candidate) for candidate in self.candidates],
            "hull": self.hull.tolist(),
            "front": self.front.tolist(),
            "reference_flops": self.reference_flops,
            "provenance": self.provenance,
            "seconds": self.seconds,
        }


def sweep(
    config: SweepConfig, folder: str | Path, workers: Workers | None = None, start_bar: Start | None = None
) -> SweepResult:
    """Train what is missing, evaluate everything.

    Args:
        config: what to sweep.
        folder: where the sweep lives. Its runs go to the folder `RUNS_FOLDER` in it; once all are there they are packed
            into one file (`pack`).
        workers: where to train, None for this process.
        start_bar: starts a progress bar of a title and a total, None for none.

    Returns:
        The sweep.

    Raises:
        ValueError: anything wrong with the settings, before the first run starts.
        runs.RunsError: workers died again and again.
    """
    start = time.perf_counter()
    wanted = config.runs()
    # A preference-conditioned run stands behind several points, and is one run.
    every = list({one: None for of_point in wanted.values() for one in of_point})
    for split in (config.compare.split, VAL_SPLIT):
        _of_any_tradeoff(config).outcomes(split)
    packed = pack.read(folder)
    found = runs.run_all(
        every,
        Path(folder) / RUNS_FOLDER,
        workers=workers,
        curve_every=config.compare.curve_every,
        start_bar=start_bar,
        packed=packed,
    )
    by_config = dict(zip(every, found, strict=True))
    with pinned_threads(config.compare.threads):
        for (_, tradeoff), of_point in wanted.items():
            for one in of_point:
                by_config[one] = by_config[one].with_decisions((VAL_SPLIT, config.compare.split), tradeoff)
    pack.write(folder, {**packed, **{run.name: run for run in by_config.values()}}.values())
    runs.remove_files(Path(folder) / RUNS_FOLDER, [run.name for run in by_config.values()])
    trained = {at: [by_config[one] for one in of_point] for at, of_point in wanted.items()}
    return evaluate_sweep(config, trained, start)


def evaluate_sweep(
    config: SweepConfig, trained: Mapping[tuple[str, float], Sequence[StoredRun]], start: float | None = None
) -> SweepResult:
    """Evaluate trained runs, and draw their fronts.

    Args:
        config: what was asked for.
        trained: the runs behind each point, as `SweepConfig.runs` names them.
        start: reading of `time.perf_counter` when the work began, None for now.
    """
    begun = time.perf_counter() if start is None else start
    outcomes = _of_any_tradeoff(config).outcomes(config.compare.split)
    with pinned_threads(config.compare.threads):
        points, policies = _points(config, trained)
        candidates = _candidates(config, trained)
    reference = float(outcomes.flops[-1])
    return SweepResult(
        config=config,
        points=tuple(points),
        fronts=tuple(_fronts(config, _of_any_tradeoff(config).options(config.compare.split), policies, reference)),
        candidates=tuple(candidates),
        hull=outcomes.hull(),
        front=outcomes.pareto_front(),
        reference_flops=reference,
        provenance=provenance_of(_of_any_tradeoff(config), config.compare),
        seconds=time.perf_counter() - begun,
    )


def reread(folder: str | Path) -> SweepResult:
    """A stored sweep, evaluated anew from its stored decisions: nothing is trained.

    Args:
        folder: of a sweep, with its result and its runs.

    Raises:
        FileNotFoundError: no sweep, or a run, its table or its data set is missing.
        ValueError: a damaged file.
    """
    path = Path(folder) / SWEEP_FILE
    if not path.is_file():
        raise FileNotFoundError(f"no sweep in {folder}: {path} is missing; 'sketchcanvas sweep' makes one")
    try:
        settings = read_json(path, MAX_RESULT_BYTES)["config"]
        compare = settings.pop("compare")
        compare = CompareConfig(env=env_from_json(compare.pop("env")), **compare)
        config = SweepConfig(compare=compare, **settings)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no result of a sweep: {error}") from None
    table = runs.stored_outcomes(_of_any_tradeoff(config), folder)
    packed = pack.read(folder)

    def find(one: TrainConfig) -> StoredRun:
        return runs.find(packed, one, table, config.compare.curve_every, folder)

    return evaluate_sweep(config, {at: [find(one) for one in of_point] for at, of_point in config.runs().items()})


def _of_any_tradeoff(config: SweepConfig) -> EnvConfig:
    """The environment, for what is the same at every tradeoff."""
    return config.compare.env.at(config.tradeoffs[0])


_Seeds = Sequence[Decided]
"""What the seeds of an agent do at one tradeoff."""


def _points(
    config: SweepConfig, trained: Mapping[tuple[str, float], Sequence[StoredRun]]
) -> tuple[list[Point], dict[str, list[_Seeds]]]:
    """Every point, and of each agent what its seeds do at one tradeoff after the other."""
    split = config.compare.split
    points: list[Point] = []
    policies: dict[str, list[_Seeds]] = {}

    def add(agent: str, tradeoff: float, options: Options, seeds: _Seeds) -> None:
        points.append(Point(agent, tradeoff, evaluate_runs(options, seeds, resamples=config.compare.resamples)))
        policies.setdefault(agent, []).append(seeds)

    for (agent, tradeoff), of_point in trained.items():
        options = config.compare.env.at(tradeoff).options(split)
        add(agent, tradeoff, options, [run.decided(split, tradeoff) for run in of_point])
    for tradeoff in config.tradeoffs:
        options = config.compare.env.at(tradeoff).options(split)
        add("oracle", tradeoff, options, [(options.oracle, np.zeros(len(options)))])
    return points, policies


def _candidates(config: SweepConfig, trained: Mapping[tuple[str, float], Sequence[StoredRun]]) -> list[Candidate]:
    splits = (VAL_SPLIT, config.compare.split)
    options = [_of_any_tradeoff(config).options(split) for split in splits]

    def measured(decided: Sequence[Decided]) -> list[float]:
        """acc@1 and mean GFLOPs on each split."""
        found = []
        for (choice, thinking), of_split in zip(decided, options, strict=True):
            right = of_split.ranks[np.arange(len(choice)), choice] == 1
            found += [float(right.mean()), float((of_split.flops[choice] + thinking).mean()) / GIGA]
        return found

    candidates = []
    for column in range(options[0].n_fixed):
        always = [(np.full(len(one), column, dtype=np.int64), np.zeros(len(one))) for one in options]
        candidates.append(Candidate("fixed", None, int(options[0].names[column]), None, None, *measured(always)))
    for (agent, tradeoff), of_point in trained.items():
        for run in of_point:
            told = measured([run.decided(split, tradeoff) for split in splits])
            candidates.append(Candidate(agent, tradeoff, None, run.config.seed, run.name, *told))
    return candidates


def _fronts(config: SweepConfig, options: Options, policies: dict[str, list[_Seeds]], reference: float) -> list[Front]:
    right = (options.ranks == 1).astype(np.float64)
    rows, n, k = np.arange(len(options)), len(options), options.n_fixed
    fixed: list[_Seeds] = [[(np.full(n, column, dtype=np.int64), np.zeros(n))] for column in range(k)]
    found = []
    for agent, of_agent in [("fixed", fixed), *policies.items()]:
        shape = (len(of_agent), len(of_agent[0]))
        seeds = [one for of_point in of_agent for one in of_point]
        acc = np.column_stack([right[rows, choice] for choice, _ in seeds])
        cost = np.column_stack([options.flops[choice] + thinking for choice, thinking in seeds])
        columns = np.hstack([right[:, :k], acc, cost])
        sampled = bootstrap.resampled_means(columns, options.photo_ids, config.compare.resamples)
        # The first row is the split itself, the others are its resamples.
        means = np.vstack([columns.mean(axis=0), sampled])
        canvas_acc, *of_seeds = np.split(means, [k, k + len(seeds)], axis=1)
        # (R, seeds, tradeoffs): each seed has a front of its own, and the mean of their hypervolumes is the agent's.
        point_acc, point_cost = (one.reshape(-1, *shape).swapaxes(1, 2) for one in of_seeds)
        tosses = fronts.hull_accuracy(options.flops[:k], canvas_acc[:, None, None], point_cost)
        each = fronts.hypervolume(point_cost, point_acc, reference)
        gain = (each - fronts.hypervolume(point_cost, tosses, reference)).mean(axis=1)
        volume = each.mean(axis=1)
        found.append(
            Front(
                agent,
                float(volume[0]),
                bootstrap.interval(volume[1:]),
                float(gain[0]),
                bootstrap.interval(gain[1:]),
            )
        )
    return found
