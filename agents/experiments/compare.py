"""The main job: train algorithms over seeds at equal budgets, and hold them against what needs no training.

Training sees the split `train` only. No setting is tuned here: the last weights of every run count, and an agent is
the mean over its seeds. One more row is the selector chosen among all runs by its reward on `val`. The split
that is reported is evaluated exhaustively. By default that is `val`; `test` is for the end, once.

Each row of the result is a policy: every fixed canvas, a random one, the best fixed canvas, the oracle, each
agent (the mean over its seeds), for each agent the coin tosses between two fixed canvases that cost as much as its
seeds do, and the chosen selector.

Agents are held against each other by what their seeds earn with the selector's own FLOPs charged (`net_gap_closed`),
in an exact test corrected for all pairs (`statistics.improvements`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import TrainConfig, pinned_threads
from agents.evaluation import baselines, statistics
from agents.evaluation.evaluate import GIGA, Evaluation, evaluate_options, evaluate_runs
from agents.evaluation.options import Options
from agents.evaluation.setting import VAL_SPLIT, CascadeConfig, EnvConfig, env_from_json
from agents.evaluation.statistics import Estimate, Gain, Improvement, Profile
from agents.experiments import runs
from agents.experiments.progress import Start
from agents.experiments.runs import TRAIN_SPLIT, StoredRun, Workers
from agents.store import provenance
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.files import read_json, write_json
from students.store.provenance import commit

RUNS_FOLDER = "runs"
"""Where a comparison's rows lie in its folder."""

RESULT_FILE = "result.json"
MAX_RESULT_BYTES = 64 << 20

ONE_SHOT = "one_shot:"
"""What the name of an agent begins with that looks once in a cascade."""

Decided = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""What one policy does on a split: options and FLOPs of deciding, (N,) each."""

Decisions = Mapping[str, Sequence[Decided]]
"""What the runs of each agent do on a split."""

CHOSEN = "chosen on val"
"""What the name of the selector begins with that `val` chooses among all runs."""

PROFILE_THRESHOLDS = tuple(np.round(np.linspace(-0.5, 1.0, 31), 2).tolist())
"""Levels of gap closed at which performance profiles are taken."""


@dataclass(frozen=True)
class CompareConfig:
    """What is compared, and for how long."""

    env: EnvConfig = field(default_factory=EnvConfig)  # the environment that all algorithms learn in
    # Keys of `algorithms.ALGORITHMS`; "reinforce/gru" names the network too, where it is not `selector`. In a cascade
    # those of `CASCADE_ALGORITHMS`; "one_shot:reinforce/stats" is an agent that learns to look once.
    algorithms: tuple[str, ...] = ("reinforce", "ppo")
    seeds: int = 3  # runs of each algorithm, with seeds 0, 1, ...
    total_steps: int = 30_720  # environment steps of every run, the same for all algorithms, exactly
    selector: str = "stats"  # which network decides, but for algorithms that have one of their own
    hidden: int | None = None  # its width, None for the network's default
    split: str = VAL_SPLIT  # what is reported; "test" once, when nothing will be changed any more
    threads: int = 1  # torch threads, pinned
    resamples: int = statistics.RESAMPLES  # bootstrap resamples for the intervals
    curve_points: int = 12  # points of each learning curve, about

    def __post_init__(self) -> None:
        """Let lists from JSON pass as tuples, and refuse what cannot be compared.

        Raises:
            ValueError: no algorithm, one named twice, or less than one seed or resample.
        """
        object.__setattr__(self, "algorithms", tuple(self.algorithms))
        if not self.algorithms or len(set(self.algorithms)) != len(self.algorithms):
            raise ValueError(f"algorithms must be one or more different names, got {self.algorithms}")
        for name in ("seeds", "resamples", "curve_points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def curve_every(self) -> int:
        """Environment steps between two points of the learning curves."""
        return max(1, self.total_steps // self.curve_points)

    def runs(self) -> dict[str, list[TrainConfig]]:
        """The settings of every run, agent by agent; each is a job of its own.

        Raises:
            ValueError: unknown algorithm or network, or a budget that an algorithm cannot spend exactly.
        """
        return {agent: [self._run(agent, seed) for seed in range(self.seeds)] for agent in self.algorithms}

    def _run(self, agent: str, seed: int) -> TrainConfig:
        looks_once = agent.startswith(ONE_SHOT)
        env = self.env.one_shot() if looks_once else self.env
        if looks_once and env == self.env:
            raise ValueError(f"{agent!r}: {ONE_SHOT} is for cascades; here every agent looks once")
        name, _, network = agent.removeprefix(ONE_SHOT).partition("/")
        common = {"env": env, "seed": seed, "total_steps": self.total_steps, "threads": self.threads}
        if network:
            return algorithms.make_config(name, selector=network, **common)
        return algorithms.make_config(name, **algorithms.network_of(name, self.selector, self.hidden, env), **common)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-able values."""
        return {**asdict(self), "env": self.env.to_json()}


CASCADE = (
    "one_shot:reinforce/stats",
    "one_shot:cost_sensitive/stats",
    "reinforce",
    "ppo",
    "maskable_ppo",
    "dqn",
    "backward_induction",
)
"""Agents of the preset `cascade`: who looks once beside who may look again, over ten seeds."""

QUICK = ("reinforce", "reinforce/gru", "ppo", "cost_sensitive")
"""Agents of the preset `quick`: what the README runs in a few minutes, over three seeds."""

FULL = (
    "reinforce",
    "exact_pg",
    "cost_sensitive",
    "ppo",
    "a2c",
    "trpo",
    "dqn",
    "qrdqn",
    "linucb",
    "linear_ts",
    "epsilon_greedy",
    "reinforce/gru",
    "reinforce/thumb",
    "reinforce/conv",
    "reinforce/transformer",
    "cost_sensitive/gru",
    "cost_sensitive/conv",
)
"""Agents of the preset `full`: every algorithm, and every network, over ten seeds."""


def preset(name: str, env: EnvConfig | None = None) -> CompareConfig:
    """A ready-made comparison.

    Args:
        name: "quick" (few agents and seeds: a look, not evidence), "full" (all of them, ten seeds), or "cascade" (the
            agents that may look at a sketch several times, ten seeds).
        env: the environment, None for the default one.

    Raises:
        ValueError: another name, or an environment that the preset is not for.
    """
    agents = {"quick": QUICK, "full": FULL, "cascade": CASCADE}
    if name not in agents:
        raise ValueError(f"unknown preset {name!r}; there are {', '.join(agents)}")
    where = env or (CascadeConfig() if name == "cascade" else EnvConfig())
    if isinstance(where, CascadeConfig) != (name == "cascade"):
        raise ValueError(f"the preset {name!r} is not for this environment: cascades have the preset 'cascade'")
    if name == "cascade":
        # Longer: an episode takes several steps, and what looking again is worth shows late.
        return CompareConfig(env=where, algorithms=CASCADE, seeds=10, selector="looks", total_steps=153_600)
    return CompareConfig(env=where, algorithms=agents[name], seeds=3 if name == "quick" else 10)


def made_on(kind: str, split: str) -> str:
    """What was done to policies of a kind (`Row.kind`) on a split, "" for nothing: there they prove nothing."""
    if split == TRAIN_SPLIT and kind in ("agent", "chosen"):
        return "trained on this very split"
    return "chosen on this very split" if split == VAL_SPLIT and kind in ("rule", "chosen") else ""


@dataclass(frozen=True)
class Row:
    """One policy of the comparison.

    Attributes:
        name: what to call it.
        kind: "fixed", "random", "best_fixed", "oracle", "rule", "agent", "hull" or "chosen".
        evaluation: how it does; of an agent, the mean over its seeds.
        seeds: an agent's seeds one by one, empty for the others.
        seconds: wall-clock training time of each seed.
        curves: of each seed, what it earned on `val` in the course of training.
    """

    name: str
    kind: str
    evaluation: Evaluation
    seeds: tuple[Evaluation, ...] = ()
    seconds: tuple[float, ...] = ()
    curves: tuple[tuple[dict[str, Any], ...], ...] = ()

    def decides(self) -> bool:
        """Whether it, or any of its seeds, sends sketches to more than one option."""
        return any(max(one.share.values()) < 1.0 for one in self.seeds or (self.evaluation,))

    def made_on(self, split: str) -> str:
        """See `made_on`."""
        return made_on(self.kind, split)

    def to_json(self) -> dict[str, Any]:
        """The row as JSON-able values."""
        return {
            "name": self.name,
            "kind": self.kind,
            **self.evaluation.to_json(),
            "seeds": [seed.to_json() for seed in self.seeds],
            "train_seconds": list(self.seconds),
            "curves": [list(curve) for curve in self.curves],
        }


@dataclass(frozen=True)
class Verdict:
    """What may be claimed about one agent beside the others.

    Attributes:
        name: of the agent.
        scores: `net_gap_closed` of each seed; empty with one seed, or where there is no gap.
        gap_closed: interquartile mean of the scores, interval over seeds; None without scores.
        profile: share of the scores above each of `PROFILE_THRESHOLDS`; None without scores.
        over_fixed: mean reward, selector charged, above the fixed canvas that was best on `val`, interval over photos.
        over_fixed_p: its p-value, corrected over all agents (Holm).
        above_hull_p: p-value of a hull gain, corrected over all agents (Holm).
        improvement: probability that a run of it scores higher than a run of each other agent; p-values exact and
            corrected over all pairs (Holm).
    """

    name: str
    scores: tuple[float, ...]
    gap_closed: Estimate | None
    profile: Profile | None
    over_fixed: Gain
    over_fixed_p: float
    above_hull_p: float
    improvement: Mapping[str, Improvement]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {
            "name": self.name,
            "scores": list(self.scores),
            "gap_closed": None if self.gap_closed is None else self.gap_closed._asdict(),
            "profile": None if self.profile is None else {k: v.tolist() for k, v in self.profile._asdict().items()},
            "over_fixed": self.over_fixed._asdict(),
            "over_fixed_p": self.over_fixed_p,
            "above_hull_p": self.above_hull_p,
            "improvement": {name: found._asdict() for name, found in self.improvement.items()},
        }


@dataclass(frozen=True)
class CompareResult:
    """The whole comparison.

    Attributes:
        config: what was asked for.
        rows: the policies.
        verdicts: what may be claimed about each agent.
        hull: (M, 2) vertices of the hull of the fixed canvases, (FLOPs, acc@1).
        front: (M, 2) vertices of the front that knowing all outcomes reaches.
        run_configs: settings of every run.
        provenance: versions, hashes, machine.
        seconds: wall-clock time of everything; runs that were there already took none.
        trained: the runs of each agent, not part of the JSON.
    """

    config: CompareConfig
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    hull: npt.NDArray[np.float64]
    front: npt.NDArray[np.float64]
    run_configs: tuple[dict[str, Any], ...]
    provenance: dict[str, Any]
    seconds: float
    trained: Mapping[str, Sequence[StoredRun]] = field(default_factory=dict, repr=False)

    def row(self, name: str) -> Row:
        """The policy of a name.

        Raises:
            KeyError: no such row; the message lists what exists.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}; there are {', '.join(row.name for row in self.rows)}")

    def to_json(self) -> dict[str, Any]:
        """Everything but the networks as JSON-able values."""
        return {
            "config": self.config.to_json(),
            "rows": [row.to_json() for row in self.rows],
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "profile_thresholds": list(PROFILE_THRESHOLDS),
            "hull": self.hull.tolist(),
            "front": self.front.tolist(),
            "runs": list(self.run_configs),
            "provenance": self.provenance,
            "seconds": self.seconds,
        }

    def save(self, path: str | Path) -> Path:
        """Write the result as JSON, atomically."""
        write_json(path, self.to_json())
        return Path(path)


def compare(
    config: CompareConfig,
    folder: str | Path,
    workers: Workers | None = None,
    start_bar: Start | None = None,
    logdir: Path | None = None,
) -> CompareResult:
    """Train, evaluate, compare. Runs whose rows are in the folder already are not trained again.

    Args:
        config: what to compare.
        folder: where the comparison lives; its runs go to the folder `RUNS_FOLDER` in it.
        workers: where to train, None for this process.
        start_bar: starts a progress bar (`progress.bars`), None for none.
        logdir: TensorBoard folder with one folder a run, None for none.

    Returns:
        The comparison.

    Raises:
        ValueError: anything wrong with the settings, before the first run starts.
        runs.RunsError: workers died again and again.
    """
    start = time.perf_counter()
    wanted = config.runs()
    for split in (config.split, TRAIN_SPLIT, VAL_SPLIT):
        config.env.outcomes(split)
    found = runs.run_all(
        [one for of_agent in wanted.values() for one in of_agent],
        Path(folder) / RUNS_FOLDER,
        workers=workers,
        curve_every=config.curve_every,
        start_bar=start_bar,
        logdir=logdir,
    )
    trained = {agent: found[i * config.seeds : (i + 1) * config.seeds] for i, agent in enumerate(wanted)}
    return judge(config, trained, start)


def judge(
    config: CompareConfig, trained: Mapping[str, Sequence[StoredRun]], start: float | None = None
) -> CompareResult:
    """Evaluate trained runs beside the baselines, and say what may be claimed.

    Args:
        config: what was asked for.
        trained: the runs of each agent, a run for each seed.
        start: reading of `time.perf_counter` when the work began, None for now.
    """
    begun = time.perf_counter() if start is None else start
    outcomes, options = config.env.outcomes(config.split), config.env.options(config.split)
    decisions, name, place = decide(config, trained)
    agents = _agent_rows(outcomes, options, config, trained, decisions)
    chosen = Row(
        f"{CHOSEN} ({name}, seed {trained[name][place].config.seed})",
        "chosen",
        _judge(options, config)(*decisions[name][place]),
    )
    verdicts = _verdicts(options, config, [row for row in agents if row.kind == "agent"], decisions)
    return CompareResult(
        config=config,
        rows=(*baseline_rows(outcomes, options, config), *agents, chosen),
        verdicts=tuple(verdicts),
        hull=outcomes.hull(),
        front=outcomes.pareto_front(),
        run_configs=tuple(run.config.to_json() for of_agent in trained.values() for run in of_agent),
        provenance=provenance_of(config.env, config),
        seconds=time.perf_counter() - begun,
        trained=dict(trained),
    )


def decide(config: CompareConfig, trained: Mapping[str, Sequence[StoredRun]]) -> tuple[Decisions, str, int]:
    """What every run does on the reported split, and which of them `val` chooses.

    Args:
        config: names the split and the threads.
        trained: the runs of each agent.

    Returns:
        The decisions; the agent, and the place among its runs, with the highest mean reward on `val`, the first of
        equals.
    """
    # Choices, like weights, may hang on the number of threads where two logits are all but equal.
    with pinned_threads(config.threads):
        decisions = {
            agent: [run.config.env.decide(run.selector.selector, config.split) for run in of_agent]
            for agent, of_agent in trained.items()
        }
        return decisions, *_best_on_val(config.env, trained)


def net_gap_closed(options: Options, decided: Decided) -> float:
    """Gap closed with the selector's FLOPs charged like the student's, to 12 digits; nan where there is no gap.

    0 is the best fixed canvas of this very split, 1 the oracle, neither of which thinks. Where the reward charges
    milliseconds the selector's are not known, and nothing is charged.
    """
    closed = statistics.gap_closed(
        options.earned(*decided).mean(),
        options.rewards[:, : options.n_fixed].mean(axis=0),
        options.rewards.max(axis=1).mean(),
    )
    # Runs that end alike are ties, however their sums were rounded.
    return round(float(closed), 12)


def over_fixed(
    options: Options, decided: Sequence[Decided], column: int, resamples: int, seed: int = 0
) -> statistics.Sampled:
    """Mean reward of the policy "one of these by lot", selectors charged, above that of a fixed canvas.

    Args:
        options: the outcomes of the reported split.
        decided: the policies.
        column: of the canvas; the one that was best on `val` is what an agent must beat.
        resamples: bootstrap resamples.
        seed: of the bootstrap.
    """
    earned = np.mean([options.earned(*one) for one in decided], axis=0)
    return statistics.paired_samples(earned, options.rewards[:, column], options.photo_ids, resamples, seed)


def reread(folder: str | Path) -> CompareResult:
    """A stored comparison, evaluated anew from its stored selectors: nothing is trained.

    Args:
        folder: of a comparison, with its result and its runs.

    Raises:
        FileNotFoundError: no result, or a run, its table or its data set is missing.
        ValueError: a damaged file.
    """
    return judge(*read_runs(folder))


def read_runs(folder: str | Path) -> tuple[CompareConfig, dict[str, list[StoredRun]]]:
    """The settings and the runs of each agent of a stored comparison; arguments and errors of `reread`."""
    config = read_config(folder)
    rows = Path(folder) / RUNS_FOLDER
    table = runs.stored_outcomes(config.env, folder)
    return config, {
        agent: [runs.find(rows, one, table, config.curve_every) for one in of_agent]
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


def validate(folder: str | Path) -> list[str]:
    """What in a stored comparison does not follow from its stored selectors, a line each; empty if all of it does.

    Every selector is evaluated anew on the reported split, and every number is compared. Those that say when and
    where something ran are not.

    Raises:
        FileNotFoundError: no result, or a run is missing.
        ValueError: a damaged file.
    """
    stored = read_result(folder)
    result = reread(folder)
    again, config = result.to_json(), result.config
    told = ("config", "rows", "verdicts", "profile_thresholds", "hull", "front", "runs")
    lines: list[str] = []
    for name in told:
        # Through JSON, so that tuples and lists, 1 and 1.0, are alike.
        lines += _differences(name, stored.get(name), json.loads(json.dumps(again[name])))
    for name in ("table_hash", "student_hash", "dataset_hash", *config.env.extra_hashes()):
        lines += _differences(f"provenance.{name}", stored["provenance"].get(name), again["provenance"][name])
    return lines


def _differences(where: str, one: Any, other: Any) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other})
            for line in _differences(f"{where}.{key}", one.get(key), other.get(key))
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line for i, pair in enumerate(zip(one, other, strict=True)) for line in _differences(f"{where}[{i}]", *pair)
        ]
    if isinstance(one, float) and isinstance(other, float):
        # Another processor may round sums of float64 otherwise.
        return [] if abs(one - other) <= 1e-9 * max(1.0, abs(one)) else [f"{where}: stored {one!r}, now {other!r}"]
    return [] if one == other else [f"{where}: stored {one!r}, now {other!r}"]


def baseline_rows(outcomes: OutcomeTable, options: Options, config: CompareConfig) -> list[Row]:
    """Each fixed canvas, random, best fixed, oracle, and the environment's own rules: what needs no training.

    Args:
        outcomes: the reported split on the canvases on offer.
        options: what policies can end with there.
        config: names the environment and the resamples.
    """
    judged = _judge(options, config)
    best = int(outcomes.canvases[options.best_fixed()])
    return [
        *(Row(f"fixed {side}", "fixed", judged(baselines.fixed(outcomes, int(side)))) for side in outcomes.canvases),
        Row("random", "random", judged(baselines.random(outcomes))),
        Row(f"best fixed ({best})", "best_fixed", judged(baselines.fixed(outcomes, best))),
        Row("oracle", "oracle", judged(options.oracle)),
        *(Row(name, "rule", judged(choice)) for name, choice in config.env.rules(config.split).items()),
    ]


def _agent_rows(
    outcomes: OutcomeTable,
    options: Options,
    config: CompareConfig,
    trained: Mapping[str, Sequence[StoredRun]],
    decisions: Decisions,
) -> list[Row]:
    """For each agent: how it does, and the coin tosses that cost what its seeds cost."""
    judged = _judge(options, config)
    rows = []
    for name, of_agent in trained.items():
        agent = Row(
            name=name,
            kind="agent",
            evaluation=evaluate_runs(options, decisions[name], resamples=config.resamples),
            seeds=tuple(judged(choice, cost) for choice, cost in decisions[name]),
            seconds=tuple(run.seconds for run in of_agent),
            curves=tuple(tuple(point.to_json() for point in run.curve) for run in of_agent),
        )
        tosses = [(baselines.hull(outcomes, seed.gflops * GIGA), 0.0) for seed in agent.seeds]
        hull = evaluate_runs(options, tosses, resamples=config.resamples)
        rows += [agent, Row(f"hull at {name}'s cost", "hull", hull)]
    return rows


def _best_on_val(env: EnvConfig, trained: Mapping[str, Sequence[StoredRun]]) -> tuple[str, int]:
    """The agent and the place of the run with the highest mean reward on `val`, the first of equals."""
    options = env.options(VAL_SPLIT)

    def earned(run: StoredRun) -> float:
        return float(options.rewards_of(run.config.env.decide(run.selector.selector, VAL_SPLIT)[0]).mean())

    every = [(name, place) for name, of_agent in trained.items() for place in range(len(of_agent))]
    return max(every, key=lambda one: earned(trained[one[0]][one[1]]))


def _verdicts(options: Options, config: CompareConfig, rows: Sequence[Row], decisions: Decisions) -> list[Verdict]:
    column = config.env.options(VAL_SPLIT).best_fixed()
    gains = [over_fixed(options, decisions[row.name], column, config.resamples).gain() for row in rows]
    over_fixed_p = statistics.holm([gain.p_value for gain in gains])
    above_hull_p = statistics.holm([row.evaluation.above_hull_p for row in rows])
    scores = {row.name: [net_gap_closed(options, one) for one in decisions[row.name]] for row in rows}
    # One seed says nothing about seeds, and with one canvas on offer there is no gap.
    told = config.seeds > 1 and bool(np.isfinite([value for of_agent in scores.values() for value in of_agent]).all())
    improvement = statistics.improvements(scores) if told else {}
    more = {"resamples": config.resamples}
    return [
        Verdict(
            name=row.name,
            scores=tuple(scores[row.name]) if told else (),
            gap_closed=statistics.iqm(scores[row.name], **more) if told else None,
            profile=statistics.performance_profile(scores[row.name], PROFILE_THRESHOLDS, **more) if told else None,
            over_fixed=gains[i],
            over_fixed_p=float(over_fixed_p[i]),
            above_hull_p=float(above_hull_p[i]),
            improvement=improvement.get(row.name, {}),
        )
        for i, row in enumerate(rows)
    ]


def _judge(options: Options, config: CompareConfig) -> Callable[..., Evaluation]:
    def judged(choice: npt.ArrayLike, cost: npt.ArrayLike = 0.0) -> Evaluation:
        return evaluate_options(options, choice, selector_flops=cost, resamples=config.resamples)

    return judged


def provenance_of(env: EnvConfig, config: CompareConfig) -> dict[str, Any]:
    """Which outcomes, splits, versions and machine a result comes from.

    Args:
        env: whose outcomes.
        config: names the reported split and the threads.
    """
    return {
        **provenance.of_table(env.outcomes(config.split)),
        **env.extra_hashes(),
        "split": config.split,
        "trained_on_split": TRAIN_SPLIT,
        "torch_threads": config.threads,
        "commit": commit(),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
    }
