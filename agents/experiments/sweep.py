"""The accuracy-FLOPs trade-off as a dial: selectors at several tradeoffs, their front, and the one to take.

`sweep` trains every agent at every tradeoff, and, if asked for, one preference-conditioned selector an algorithm that
serves all tradeoffs, with the steps that the separate ones had together. Each point of a front is a policy; fronts are
held against the hull of the fixed canvases and against what knowing all outcomes reaches, and put into one number by
`statistics.hypervolume`, whose reference is always the largest canvas on offer.

`pick` answers with an operating point: the choice among points is made on `val`, the answer repeats what the reported
split says about it.
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
from agents.evaluation import statistics
from agents.evaluation.evaluate import Evaluation, evaluate_runs
from agents.evaluation.options import Options
from agents.evaluation.setting import VAL_SPLIT, EnvConfig
from agents.evaluation.statistics import Interval
from agents.experiments import runs
from agents.experiments.compare import MAX_RESULT_BYTES, RUNS_FOLDER, CompareConfig, Decided, provenance_of
from agents.experiments.progress import Start
from agents.experiments.runs import StoredRun, Workers
from agents.selectors import policy
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.files import read_json, write_json

SWEEP_FILE = "sweep.json"
FOR_ALL = "one for all"
"""What the name of a preference-conditioned agent ends with."""

ANY_TRADEOFF = 0.0


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
        run: name of its row in the sweep's folder of runs; None for a canvas.
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
        hypervolume: accuracy times doublings of cost, see `statistics.hypervolume`; the mean over the seeds' fronts.
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

    def save(self, path: str | Path) -> Path:
        """Write the result as JSON, atomically."""
        write_json(path, self.to_json())
        return Path(path)


def sweep(
    config: SweepConfig, folder: str | Path, workers: Workers | None = None, start_bar: Start | None = None
) -> SweepResult:
    """Train what is missing, evaluate everything.

    Args:
        config: what to sweep.
        folder: where the sweep lives; its runs go to the folder `RUNS_FOLDER` in it.
        workers: where to train, None for this process.
        start_bar: starts a progress bar (`progress.bars`), None for none.

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
        _plain(config, ANY_TRADEOFF).outcomes(split)
    found = runs.run_all(
        every,
        Path(folder) / RUNS_FOLDER,
        workers=workers,
        curve_every=config.compare.curve_every,
        start_bar=start_bar,
    )
    by_config = dict(zip(every, found, strict=True))
    return judge(config, {at: [by_config[one] for one in of_point] for at, of_point in wanted.items()}, start)


def judge(
    config: SweepConfig, trained: Mapping[tuple[str, float], Sequence[StoredRun]], start: float | None = None
) -> SweepResult:
    """Evaluate trained runs, and draw their fronts.

    Args:
        config: what was asked for.
        trained: the runs behind each point, as `SweepConfig.runs` names them.
        start: reading of `time.perf_counter` when the work began, None for now.
    """
    begun = time.perf_counter() if start is None else start
    outcomes = _plain(config, ANY_TRADEOFF).outcomes(config.compare.split)
    with pinned_threads(config.compare.threads):
        points, policies = _points(config, trained)
        candidates = _candidates(config, trained)
    reference = float(outcomes.flops[-1])
    return SweepResult(
        config=config,
        points=tuple(points),
        fronts=tuple(_fronts(config, outcomes, policies, reference)),
        candidates=tuple(candidates),
        hull=outcomes.hull(),
        front=outcomes.pareto_front(),
        reference_flops=reference,
        provenance=provenance_of(_plain(config, ANY_TRADEOFF), config.compare),
        seconds=time.perf_counter() - begun,
    )


def reread(folder: str | Path) -> SweepResult:
    """A stored sweep, evaluated anew from its stored selectors: nothing is trained.

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
        compare = CompareConfig(env=EnvConfig(**compare.pop("env")), **compare)
        config = SweepConfig(compare=compare, **settings)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no result of a sweep: {error}") from None
    table = runs.stored_outcomes(_plain(config, ANY_TRADEOFF), folder)

    def read(one: TrainConfig) -> StoredRun:
        return runs.find(Path(folder) / RUNS_FOLDER, one, table, config.compare.curve_every)

    return judge(config, {at: [read(one) for one in of_point] for at, of_point in config.runs().items()})


def _plain(config: SweepConfig, tradeoff: float) -> EnvConfig:
    return config.compare.env.at(tradeoff)


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
        env = _plain(config, tradeoff)
        task = env.task(split)
        add(agent, tradeoff, env.options(split), [_decide(run, task) for run in of_point])
    for tradeoff in config.tradeoffs:
        options = _plain(config, tradeoff).options(split)
        add("oracle", tradeoff, options, [(options.oracle, np.zeros(len(options)))])
    return points, policies


def _candidates(config: SweepConfig, trained: Mapping[tuple[str, float], Sequence[StoredRun]]) -> list[Candidate]:
    splits = (VAL_SPLIT, config.compare.split)
    tables = [_plain(config, ANY_TRADEOFF).outcomes(split) for split in splits]
    candidates = []
    for column, side in enumerate(tables[0].canvases.tolist()):
        told = [(float(table.acc()[column]), float(table.flops[column]) / 1e9) for table in tables]
        candidates.append(Candidate("fixed", None, side, None, None, *told[0], *told[1]))
    for (agent, tradeoff), of_point in trained.items():
        tasks = [_plain(config, tradeoff).task(split) for split in splits]
        for run in of_point:
            told = []
            for task, table in zip(tasks, tables, strict=True):
                actions, cost = _decide(run, task)
                rows = np.arange(len(actions))
                right = float((table.ranks[rows, actions] == 1).mean())
                told.append((right, float((table.flops[actions] + cost).mean()) / 1e9))
            candidates.append(Candidate(agent, tradeoff, None, run.config.seed, run.path.name, *told[0], *told[1]))
    return candidates


def _decide(run: StoredRun, task: Any) -> Decided:
    network = run.selector.selector
    return policy.actions_of(network, task), policy.flops_of(network, task)


def _fronts(
    config: SweepConfig, outcomes: OutcomeTable, policies: dict[str, list[_Seeds]], reference: float
) -> list[Front]:
    right = (outcomes.ranks == 1).astype(np.float64)
    rows, n, k = np.arange(len(outcomes)), len(outcomes), outcomes.n_canvases
    fixed: list[_Seeds] = [[(np.full(n, column, dtype=np.int64), np.zeros(n))] for column in range(k)]
    fronts = []
    for agent, of_agent in [("fixed", fixed), *policies.items()]:
        shape = (len(of_agent), len(of_agent[0]))
        seeds = [one for of_point in of_agent for one in of_point]
        acc = np.column_stack([right[rows, choice] for choice, _ in seeds])
        cost = np.column_stack([outcomes.flops[choice] + thinking for choice, thinking in seeds])
        columns = np.hstack([right, acc, cost])
        sampled = statistics.resampled_means(columns, outcomes.photo_ids, config.compare.resamples)
        # The first row is the split itself, the others are its resamples.
        means = np.vstack([columns.mean(axis=0), sampled])
        canvas_acc, *of_seeds = np.split(means, [k, k + len(seeds)], axis=1)
        # (R, seeds, tradeoffs): each seed has a front of its own, and the mean of their hypervolumes is the agent's.
        point_acc, point_cost = (one.reshape(-1, *shape).swapaxes(1, 2) for one in of_seeds)
        tosses = statistics.hull_accuracy(outcomes.flops, canvas_acc[:, None, None], point_cost)
        each = statistics.hypervolume(point_cost, point_acc, reference)
        gain = (each - statistics.hypervolume(point_cost, tosses, reference)).mean(axis=1)
        volume = each.mean(axis=1)
        fronts.append(
            Front(
                agent,
                float(volume[0]),
                statistics.interval(volume[1:]),
                float(gain[0]),
                statistics.interval(gain[1:]),
            )
        )
    return fronts


@dataclass(frozen=True)
class Pick:
    """The operating point to take.

    Attributes:
        candidate: which policy.
        path: of the saved selector, without ending; None for a fixed canvas.
        split: which split `candidate.acc1` and `candidate.gflops` are of.
    """

    candidate: Candidate
    path: Path | None
    split: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {**asdict(self.candidate), "path": None if self.path is None else str(self.path), "split": self.split}


def pick(folder: str | Path, max_gflops: float | None = None, min_acc: float | None = None) -> Pick:
    """The best policy of a stored sweep under a budget, or the cheapest that is good enough; judged on `val`.

    A fixed canvas is a policy, too: where none of the selectors does better, it is the answer.

    Args:
        folder: of the sweep.
        max_gflops: mean GFLOPs (2 x MAC) that a query may cost, selector included.
        min_acc: acc@1 that must be reached, in [0, 1].

    Returns:
        Of the policies that meet the demands: with a budget the most accurate, the cheapest of equals; with an
        accuracy alone the cheapest.

    Raises:
        FileNotFoundError: no sweep in the folder.
        ValueError: no demand, one that no policy meets (the message says what can be had), a damaged file.
    """
    if max_gflops is None and min_acc is None:
        raise ValueError("say what is wanted: at most so many GFLOPs, at least such an accuracy, or both")
    if min_acc is not None and not 0.0 <= min_acc <= 1.0:
        raise ValueError(f"the accuracy is a share, between 0 and 1, got {min_acc}")
    candidates, split = _read_candidates(Path(folder) / SWEEP_FILE)
    able = [
        one
        for one in candidates
        if (max_gflops is None or one.val_gflops <= max_gflops) and (min_acc is None or one.val_acc1 >= min_acc)
    ]
    if not able:
        cheapest, best = min(one.val_gflops for one in candidates), max(one.val_acc1 for one in candidates)
        raise ValueError(
            f"no policy of this sweep meets that on val: they start at {cheapest:.4f} GFLOPs and reach "
            f"{100 * best:.1f} % acc@1"
        )
    if max_gflops is None:
        chosen = min(able, key=lambda one: (one.val_gflops, -one.val_acc1))
    else:
        chosen = min(able, key=lambda one: (-one.val_acc1, one.val_gflops))
    return Pick(chosen, None if chosen.run is None else Path(folder) / RUNS_FOLDER / chosen.run, split)


def _read_candidates(path: Path) -> tuple[Sequence[Candidate], str]:
    if not path.is_file():
        raise FileNotFoundError(f"no sweep in {path.parent}: {path.name} is missing; 'sketchcanvas sweep' makes one")
    try:
        stored = read_json(path, MAX_RESULT_BYTES)
        candidates = [Candidate(**fields) for fields in stored["candidates"]]
        split = str(stored["config"]["compare"]["split"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no result of a sweep: {error}") from None
    if not candidates or any(one.run is not None and Path(one.run).name != one.run for one in candidates):
        raise ValueError(f"{path} is no result of a sweep: its candidates are not in its folder")
    return candidates, split
