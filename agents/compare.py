"""The main job: train algorithms over seeds at equal budgets, and hold them against what needs no training.

Training sees the split `train` only. Nothing is selected (the last weights of every run count, no setting is
tuned), so `val` is not needed, and the split that is reported is evaluated once, exhaustively.

Each row of the result is a policy: every fixed canvas, a random one, the best fixed canvas, the oracle, each
algorithm (its seeds averaged for every sketch), and for each algorithm the coin toss between two fixed
canvases that costs as much as it does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents import algorithms, baselines, policy, provenance, statistics
from agents.environment import EnvConfig
from agents.evaluate import Evaluation, as_probabilities, evaluate
from agents.progress import Start
from agents.training import Run, TrainConfig, pinned_threads
from sketchcanvas_env.files import atomic_write
from sketchcanvas_env.table import OutcomeTable

TRAIN_SPLIT = "train"


@dataclass(frozen=True)
class CompareConfig:
    """What is compared, and for how long."""

    env: EnvConfig = field(default_factory=EnvConfig)  # the environment that all algorithms learn in
    algorithms: tuple[str, ...] = ("reinforce", "ppo")  # keys of `algorithms.ALGORITHMS`
    seeds: int = 3  # runs of each algorithm, with seeds 0, 1, ...
    total_steps: int = 30_720  # environment steps of every run, the same for all algorithms, exactly
    selector: str = "gru"  # which network decides, the same for all algorithms
    hidden: int | None = None  # its width, None for the network's default
    split: str = "test"  # what is reported
    threads: int = 1  # torch threads, pinned
    resamples: int = statistics.RESAMPLES  # bootstrap resamples for the intervals

    def __post_init__(self) -> None:
        """Let lists from JSON pass as tuples, and refuse what cannot be compared.

        Raises:
            ValueError: no algorithm, one named twice, or less than one seed or resample.
        """
        object.__setattr__(self, "algorithms", tuple(self.algorithms))
        if not self.algorithms or len(set(self.algorithms)) != len(self.algorithms):
            raise ValueError(f"algorithms must be one or more different names, got {self.algorithms}")
        for name in ("seeds", "resamples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def runs(self) -> list[TrainConfig]:
        """The settings of every run, algorithm by algorithm; each is a job of its own.

        Raises:
            ValueError: unknown algorithm or network, or a budget that an algorithm cannot spend exactly.
        """
        return [
            algorithms.make_config(
                name,
                env=self.env,
                seed=seed,
                total_steps=self.total_steps,
                selector=self.selector,
                hidden=self.hidden,
                threads=self.threads,
            )
            for name in self.algorithms
            for seed in range(self.seeds)
        ]

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class Row:
    """One policy of the comparison.

    Attributes:
        name: what to call it.
        kind: "fixed", "random", "best_fixed", "oracle", "agent" or "hull".
        evaluation: how it does; of an agent, with its seeds averaged for every sketch.
        seeds: an agent's seeds one by one, empty for the others.
        seconds: wall-clock training time of each seed.
    """

    name: str
    kind: str
    evaluation: Evaluation
    seeds: tuple[Evaluation, ...] = ()
    seconds: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The row as JSON-able values."""
        return {
            "name": self.name,
            "kind": self.kind,
            **self.evaluation.to_json(),
            "seeds": [seed.to_json() for seed in self.seeds],
            "train_seconds": list(self.seconds),
        }


@dataclass(frozen=True)
class CompareResult:
    """The whole comparison.

    Attributes:
        config: what was asked for.
        rows: the policies.
        hull: (M, 2) vertices of the hull of the fixed canvases, (FLOPs, acc@1).
        front: (M, 2) vertices of the front that knowing all outcomes reaches.
        run_configs: settings of every run.
        provenance: versions, hashes, machine.
        seconds: wall-clock time of everything.
        trained: the runs themselves, not part of the JSON.
    """

    config: CompareConfig
    rows: tuple[Row, ...]
    hull: npt.NDArray[np.float64]
    front: npt.NDArray[np.float64]
    run_configs: tuple[dict[str, Any], ...]
    provenance: dict[str, Any]
    seconds: float
    trained: tuple[Run, ...] = field(default=(), repr=False)

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
            "hull": self.hull.tolist(),
            "front": self.front.tolist(),
            "runs": list(self.run_configs),
            "provenance": self.provenance,
            "seconds": self.seconds,
        }

    def save(self, path: str | Path) -> Path:
        """Write the result as JSON, atomically."""
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return Path(path)


def compare(config: CompareConfig, start_bar: Start | None = None, logdir: Path | None = None) -> CompareResult:
    """Train, evaluate, compare.

    Args:
        config: what to compare.
        start_bar: starts a progress bar for each run (`progress.bars`), None for none.
        logdir: TensorBoard folder with one folder a run, None for none.

    Returns:
        The comparison.

    Raises:
        ValueError: anything wrong with the settings, before the first run starts.
    """
    start = time.perf_counter()
    jobs = config.runs()
    outcomes = config.env.outcomes(config.split)
    config.env.outcomes(TRAIN_SPLIT)
    trained = []
    for job in jobs:
        watch = start_bar(f"{job.algorithm}, seed {job.seed}", job.total_steps) if start_bar is not None else None
        logs = logdir / f"{job.algorithm}-{job.seed}" if logdir is not None else None
        trained.append(algorithms.train_run(job, on_progress=watch, logdir=logs))
    with pinned_threads(config.threads):
        # Choices, like weights, may hang on the number of threads where two logits are all but equal.
        agents = _agent_rows(outcomes, config, trained)
    return CompareResult(
        config=config,
        rows=(*baseline_rows(outcomes, config), *agents),
        hull=outcomes.hull(),
        front=outcomes.pareto_front(),
        run_configs=tuple(job.to_json() for job in jobs),
        provenance=_provenance(config),
        seconds=time.perf_counter() - start,
        trained=tuple(trained),
    )


def baseline_rows(outcomes: OutcomeTable, config: CompareConfig) -> list[Row]:
    """Each fixed canvas, random, best fixed, oracle: what needs no training.

    Args:
        outcomes: the reported split on the canvases on offer.
        config: names the reward and the resamples.
    """
    weights = config.env.reward_weights()
    judge = _judge(outcomes, config)
    best = int(outcomes.canvases[outcomes.best_fixed(**weights)])
    return [
        *(Row(f"fixed {side}", "fixed", judge(baselines.fixed(outcomes, int(side)))) for side in outcomes.canvases),
        Row("random", "random", judge(baselines.random(outcomes))),
        Row(f"best fixed ({best})", "best_fixed", judge(baselines.best_fixed(outcomes, **weights))),
        Row("oracle", "oracle", judge(baselines.oracle(outcomes, **weights))),
    ]


def _agent_rows(outcomes: OutcomeTable, config: CompareConfig, trained: Sequence[Run]) -> list[Row]:
    """For each algorithm: the agent, and the coin toss that costs the same."""
    task = config.env.task(config.split)
    judge = _judge(outcomes, config)
    rows = []
    for name in config.algorithms:
        runs = [run for run in trained if run.config.algorithm == name]
        choices = [as_probabilities(outcomes, policy.actions_of(run.selector, task)) for run in runs]
        costs = [policy.flops_of(run.selector, task) for run in runs]
        agent = Row(
            name=name,
            kind="agent",
            evaluation=judge(np.mean(choices, axis=0), np.mean(costs, axis=0)),
            seeds=tuple(judge(choice, cost) for choice, cost in zip(choices, costs, strict=True)),
            seconds=tuple(run.seconds for run in runs),
        )
        at = agent.evaluation.gflops * 1e9
        rows += [agent, Row(f"hull at {name}'s cost", "hull", judge(baselines.hull(outcomes, at)))]
    return rows


def _judge(outcomes: OutcomeTable, config: CompareConfig) -> Callable[..., Evaluation]:
    def judge(choice: npt.ArrayLike, cost: npt.ArrayLike = 0.0) -> Evaluation:
        return evaluate(
            outcomes, choice, selector_flops=cost, resamples=config.resamples, **config.env.reward_weights()
        )

    return judge


def _provenance(config: CompareConfig) -> dict[str, Any]:
    return {
        **provenance.of_table(config.env.outcomes(config.split)),
        "split": config.split,
        "trained_on_split": TRAIN_SPLIT,
        "torch_threads": config.threads,
        "versions": provenance.versions(),
        "machine": provenance.machine(),
    }
