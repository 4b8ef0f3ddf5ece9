"""The main job: train algorithms over seeds at equal budgets, and hold them against what needs no training.

Training sees the split `train` only. No setting is tuned here: the last weights of every run count, and an agent is
the mean over its seeds. One more row is the selector chosen among all runs by its reward on `val`. The split
that is reported is evaluated exhaustively. By default that is `val`; `test` is for the end, once.

Each row of the result is a policy: every fixed canvas, a random one, the best fixed canvas, the oracle, each
agent (the mean over its seeds), for each agent the coin tosses between two fixed canvases that cost as much as its
seeds do, and the chosen selector.

Agents are held against each other by what their seeds earn with the selector's own FLOPs charged (`net_gap_closed`),
in an exact test corrected for all pairs (`seeds.improvements`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.algorithms.common.training import pinned_threads
from agents.evaluation import baselines, bootstrap, fronts, seeds
from agents.evaluation.evaluate import GIGA, Evaluation, evaluate_options, evaluate_runs
from agents.evaluation.options import Options
from agents.evaluation.setting import VAL_SPLIT, Decided, EnvConfig
from agents.experiments import pack, runs
from agents.experiments.results import CHOSEN, PROFILE_THRESHOLDS, CompareResult, Row, Verdict
from agents.experiments.runs import TRAIN_SPLIT, StoredRun
from agents.experiments.settings import CompareConfig
from agents.experiments.workers import Start, Workers
from agents.store import provenance
from sketchcanvas_env.outcomes.table import OutcomeTable
from students.store.provenance import commit

RUNS_FOLDER = "runs"
"""Where the runs of a comparison lie, in its folder, until all of them are there."""

CHOSEN_FILE = "chosen.safetensors"
"""The selector that `val` chooses, in the comparison's folder: `agents.load` and `--selector` take it."""

Decisions = Mapping[str, Sequence[Decided]]
"""What the runs of each agent do on a split."""


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
        folder: where the comparison lives. Its runs go to the folder `RUNS_FOLDER` in it; once all are there they are
            packed into one file (`pack`).
        workers: where to train, None for this process.
        start_bar: starts a progress bar of a title and a total, None for none.
        logdir: TensorBoard folder with one folder a run, None for none.

    Returns:
        The comparison.

    Raises:
        ValueError: anything wrong with the settings, before the first run starts.
        runs.RunsError: workers died again and again.
    """
    start = time.perf_counter()
    wanted = config.runs()
    splits = dict.fromkeys((config.split, TRAIN_SPLIT, VAL_SPLIT))
    shown = None if start_bar is None else start_bar("sketches of a split", len(splits))
    for number, split in enumerate(splits, start=1):
        config.env.outcomes(split)  # what is shown of a large split takes a while when it is first asked for
        if shown is not None:
            shown(number)
    packed = pack.read(folder)
    found = runs.run_all(
        [one for of_agent in wanted.values() for one in of_agent],
        Path(folder) / RUNS_FOLDER,
        workers=workers,
        curve_every=config.curve_every,
        start_bar=start_bar,
        logdir=logdir,
        packed=packed,
    )
    with pinned_threads(config.threads):
        found = [run.with_decisions((VAL_SPLIT, config.split)) for run in found]
    pack.write(folder, {**packed, **{run.name: run for run in found}}.values())
    runs.remove_files(Path(folder) / RUNS_FOLDER, [run.name for run in found])
    trained = {agent: found[i * config.seeds : (i + 1) * config.seeds] for i, agent in enumerate(wanted)}
    result = evaluate_comparison(config, trained, start)
    if next(run for run in found if run.name == result.chosen).selector is not None:
        pack.extract(folder, result.chosen, Path(folder) / CHOSEN_FILE)
    return result


def evaluate_comparison(
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
        _evaluator(options, config)(*decisions[name][place]),
    )
    verdicts = _verdicts(options, config, [row for row in agents if row.kind == "agent"], decisions)
    return CompareResult(
        config=config,
        rows=(*baseline_rows(outcomes, options, config), *agents, chosen),
        verdicts=tuple(verdicts),
        hull=outcomes.hull(),
        front=outcomes.pareto_front(),
        provenance=provenance_of(config.env, config),
        seconds=time.perf_counter() - begun,
        chosen=trained[name][place].name,
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
    with pinned_threads(config.threads):
        decisions = {agent: [run.decided(config.split) for run in of_agent] for agent, of_agent in trained.items()}
        return decisions, *_best_on_val(config.env, trained)


def net_gap_closed(options: Options, decided: Decided) -> float:
    """Gap closed with the selector's FLOPs charged like the student's, to 12 digits; nan where there is no gap.

    0 is the best fixed canvas of this very split, 1 the oracle, neither of which thinks. Where the reward charges
    milliseconds the selector's are not known, and nothing is charged.
    """
    closed = fronts.gap_closed(
        options.earned(*decided).mean(),
        options.rewards[:, : options.n_fixed].mean(axis=0),
        options.rewards.max(axis=1).mean(),
    )
    # Runs that end alike are ties, however their sums were rounded.
    return round(float(closed), 12)


def over_fixed(
    options: Options, decided: Sequence[Decided], column: int, resamples: int, seed: int = 0
) -> bootstrap.Sampled:
    """Mean reward of the policy "one of these by lot", selectors charged, above that of a fixed canvas.

    Args:
        options: the outcomes of the reported split.
        decided: the policies.
        column: of the canvas; the one that was best on `val` is what an agent must beat.
        resamples: bootstrap resamples.
        seed: of the bootstrap.
    """
    earned = np.mean([options.earned(*one) for one in decided], axis=0)
    return bootstrap.paired_samples(earned, options.rewards[:, column], options.photo_ids, resamples, seed)


def baseline_rows(outcomes: OutcomeTable, options: Options, config: CompareConfig) -> list[Row]:
    """Each fixed canvas, random, best fixed, oracle, and the environment's own rules: what needs no training.

    Args:
        outcomes: the reported split on the canvases on offer.
        options: what policies can end with there.
        config: names the environment and the resamples.
    """
    evaluated = _evaluator(options, config)
    best = int(outcomes.canvases[options.best_fixed()])
    kind = "rule" if config.env.looks_again else "reference"
    return [
        *(Row(f"fixed {side}", "fixed", evaluated(baselines.fixed(outcomes, int(side)))) for side in outcomes.canvases),
        Row("random", "random", evaluated(baselines.random(outcomes))),
        Row(f"best fixed ({best})", "best_fixed", evaluated(baselines.fixed(outcomes, best))),
        Row("oracle", "oracle", evaluated(options.oracle)),
        *(Row(name, kind, evaluated(choice)) for name, choice in config.env.rules(config.split).items()),
    ]


def _agent_rows(
    outcomes: OutcomeTable,
    options: Options,
    config: CompareConfig,
    trained: Mapping[str, Sequence[StoredRun]],
    decisions: Decisions,
) -> list[Row]:
    """For each agent: how it does, and the coin tosses that cost what its seeds cost."""
    evaluated = _evaluator(options, config)
    rows = []
    for name, of_agent in trained.items():
        agent = Row(
            name=name,
            kind="agent",
            evaluation=evaluate_runs(options, decisions[name], resamples=config.resamples),
            seeds=tuple(evaluated(choice, cost) for choice, cost in decisions[name]),
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
        return float(options.rewards_of(run.decide(VAL_SPLIT)).mean())

    every = [(name, place) for name, of_agent in trained.items() for place in range(len(of_agent))]
    return max(every, key=lambda one: earned(trained[one[0]][one[1]]))


def _verdicts(options: Options, config: CompareConfig, rows: Sequence[Row], decisions: Decisions) -> list[Verdict]:
    column = config.env.options(VAL_SPLIT).best_fixed()
    gains = [over_fixed(options, decisions[row.name], column, config.resamples).gain() for row in rows]
    over_fixed_p = seeds.holm([gain.p_value for gain in gains])
    above_hull_p = seeds.holm([row.evaluation.above_hull_p for row in rows])
    scores = {row.name: [net_gap_closed(options, one) for one in decisions[row.name]] for row in rows}
    # One seed says nothing about seeds, and with one canvas on offer there is no gap.
    told = config.seeds > 1 and bool(np.isfinite([value for of_agent in scores.values() for value in of_agent]).all())
    improvement = seeds.improvements(scores) if told else {}
    more = {"resamples": config.resamples}
    return [
        Verdict(
            name=row.name,
            scores=tuple(scores[row.name]) if told else (),
            gap_closed=seeds.iqm(scores[row.name], **more) if told else None,
            profile=seeds.performance_profile(scores[row.name], PROFILE_THRESHOLDS, **more) if told else None,
            over_fixed=gains[i],
            over_fixed_p=float(over_fixed_p[i]),
            above_hull_p=float(above_hull_p[i]),
            improvement=improvement.get(row.name, {}),
        )
        for i, row in enumerate(rows)
    ]


def _evaluator(options: Options, config: CompareConfig) -> Callable[..., Evaluation]:
    def evaluated(choice: npt.ArrayLike, cost: npt.ArrayLike = 0.0) -> Evaluation:
        return evaluate_options(options, choice, selector_flops=cost, resamples=config.resamples)

    return evaluated


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
