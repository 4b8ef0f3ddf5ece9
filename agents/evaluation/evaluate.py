"""Exact evaluation: every sketch of a split, each choice looked up, nothing sampled.

What is charged where:

* FLOPs and hull gain charge the selector's own FLOPs on top of the student's, always: they are in GFLOPs
  whatever the reward charges, and so are the hull, the front and the plots of a comparison. The hull's coin toss
  looks at nothing and costs nothing.
* Reward, regret and gap closed are the environment's: its reward knows the student's cost only, in FLOPs or in
  milliseconds (`cost`). So do the oracle and the best fixed canvas, which go by reward. Where agents are held against
  each other the selector is charged, too (`Options.earned`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.evaluation import bootstrap, fronts
from agents.evaluation.bootstrap import Interval, Sampled
from agents.evaluation.options import Options
from sketchcanvas_env.outcomes.table import OutcomeTable

GIGA = 1e9

Policy = tuple[npt.ArrayLike, npt.ArrayLike]
"""Options of N sketches, (N,), or their probabilities, (N, M); FLOPs (2 x MAC) of deciding, one number or (N,)."""


@dataclass(frozen=True)
class Evaluation:
    """How a policy does on a split. Accuracies and shares lie in [0, 1]; intervals are 95 % over photos.

    Attributes:
        n_sketches: sketches evaluated.
        n_photos: photos they belong to, the units of the bootstrap.
        acc1: share of sketches whose true photo comes first.
        acc1_interval: its interval.
        acc5: share with the true photo among the first five.
        acc10: share with it among the first ten.
        mrr: mean of 1 / rank.
        gflops: mean GFLOPs (2 x MAC) per query, selector included.
        student_gflops: the student's part.
        selector_gflops: the selector's part.
        share: share of the sketches that ends with each option, by its name: a canvas's is its side in pixels.
        reward: mean reward of the environment, in a cascade of whole episodes.
        regret: mean of oracle reward - reward, >= 0.
        gap_closed: 0 at the best fixed canvas (chosen on this very split), 1 at the oracle; nan if those are
            the same.
        gap_closed_interval: its interval, the best fixed canvas chosen anew in each resample.
        hull_gain: acc@1 above the hull of the fixed canvases at the same mean FLOPs, selector included.
        hull_gain_interval: its interval, the hull built anew in each resample.
        above_hull_p: p-value of "it does not lie above the hull" (`p_above`), not corrected for other comparisons.
    """

    n_sketches: int
    n_photos: int
    acc1: float
    acc1_interval: Interval
    acc5: float
    acc10: float
    mrr: float
    gflops: float
    student_gflops: float
    selector_gflops: float
    share: dict[str, float]
    reward: float
    regret: float
    gap_closed: float
    gap_closed_interval: Interval
    hull_gain: float
    hull_gain_interval: Interval
    above_hull_p: float

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values; nan becomes None, which JSON can say."""
        fields: dict[str, Any] = jsonable(asdict(self))
        return fields


def evaluate(
    table: OutcomeTable,
    choice: npt.ArrayLike,
    *,
    tradeoff: float = 0.2,
    rank_weight: float = 1.0,
    triplet_weight: float = 0.1,
    cost: str = "flops",
    selector_flops: npt.ArrayLike = 0.0,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a policy on all rows of a table.

    Args:
        table: outcomes of one split on the canvases on offer (`OutcomeTable.select`).
        choice: (N,) column chosen for each sketch, or (N, K) probability of each column (several seeds
            averaged, a random policy).
        tradeoff: weight of cost in the reward.
        rank_weight: weight of 1 / rank in the reward.
        triplet_weight: weight of the triplet loss in the reward.
        cost: what the reward charges, "flops" or "latency" (`OutcomeTable.costs`).
        selector_flops: FLOPs (2 x MAC) of deciding, one number or (N,).
        resamples: bootstrap resamples for the intervals.
        seed: of the bootstrap; policies evaluated with one seed on one split are paired.

    Returns:
        Exact means with intervals.

    Raises:
        ValueError: choices or costs that do not fit the table, or latency that it does not have.
    """
    return evaluate_options(
        Options.of_table(table, tradeoff, rank_weight, triplet_weight, cost),
        choice,
        selector_flops=selector_flops,
        resamples=resamples,
        seed=seed,
    )


def evaluate_options(
    options: Options,
    choice: npt.ArrayLike,
    *,
    selector_flops: npt.ArrayLike = 0.0,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a policy on all sketches, whatever it is that it can end with.

    Args:
        options: the outcomes of one split.
        choice: (N,) option that each sketch ends with, or (N, M) probability of each (`Options.probabilities`).
        selector_flops: FLOPs (2 x MAC) of deciding, all decisions about a sketch together, one number or (N,).
        resamples: bootstrap resamples for the intervals.
        seed: of the bootstrap; policies evaluated with one seed on one split are paired.

    Returns:
        Exact means with intervals.

    Raises:
        ValueError: choices or costs that do not fit the outcomes.
    """
    return evaluate_runs(options, [(choice, selector_flops)], resamples=resamples, seed=seed)


def evaluate_groups(
    options: Options, choice: npt.ArrayLike, selector_flops: npt.ArrayLike, table: OutcomeTable
) -> dict[str, Evaluation]:
    """A policy on the sketches of each condition or abstraction level, by its name; nothing where there is one only.

    Args:
        options: the outcomes of one split.
        choice: as of `evaluate_options`.
        selector_flops: as of `evaluate_options`.
        table: the rows that the options are of, which knows the groups.
    """
    names = table.group_names
    if len(names) < 2:
        return {}
    probabilities = options.probabilities(choice)
    thinking = np.broadcast_to(np.asarray(selector_flops, dtype=np.float64), (len(options),))
    found = {}
    for number, name in names.items():
        rows = table.level == number
        found[name] = evaluate_options(options.of_rows(rows), probabilities[rows], selector_flops=thinking[rows])
    return found


def evaluate_runs(
    options: Options, runs: Sequence[Policy], *, resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> Evaluation:
    """Evaluate several policies, the seeds of an agent, as one: each number is the mean of theirs, in every resample.

    For all but the hull gain that is the policy "one of them by lot". That policy mixes operating points, and where one
    seed is cheap and another dear it lies below the hull though each of them lies on it; so the gains are averaged.

    Args:
        options: the outcomes of one split.
        runs: the policies, at least one.
        resamples: bootstrap resamples for the intervals.
        seed: of the bootstrap; policies evaluated with one seed on one split are paired.

    Returns:
        Exact means with intervals.

    Raises:
        ValueError: no policy; choices or costs that do not fit the outcomes.
    """
    found = sampled(options, runs, resamples=resamples, seed=seed)
    every, costs = _checked(options, runs)
    probabilities, thinking = np.mean(every, axis=0), np.mean(costs, axis=0)
    ranks = options.ranks

    def expect(values: npt.NDArray[Any]) -> float:
        return float((probabilities * values).sum(axis=1).mean())

    share = probabilities.mean(axis=0)
    reward = expect(options.rewards)
    return Evaluation(
        n_sketches=len(options),
        n_photos=len(np.unique(options.photo_ids)),
        acc1=found["acc1"].value,
        acc1_interval=bootstrap.interval(found["acc1"].samples),
        acc5=expect(ranks <= 5),
        acc10=expect(ranks <= 10),
        mrr=expect(1.0 / ranks),
        gflops=found["flops"].value / GIGA,
        student_gflops=float((probabilities @ options.flops).mean()) / GIGA,
        selector_gflops=float(thinking.mean()) / GIGA,
        share=dict(zip(options.names, share.tolist(), strict=True)),
        reward=reward,
        regret=max(0.0, float(options.rewards.max(axis=1).mean()) - reward),
        gap_closed=found["gap_closed"].value,
        gap_closed_interval=bootstrap.interval(found["gap_closed"].samples),
        hull_gain=found["hull_gain"].value,
        hull_gain_interval=bootstrap.interval(found["hull_gain"].samples),
        above_hull_p=bootstrap.p_above(found["hull_gain"].samples),
    )


def sampled(
    options: Options, runs: Sequence[Policy], *, resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> dict[str, Sampled]:
    """What the intervals of an evaluation are made of; arguments and errors of `evaluate_runs`.

    Returns:
        "acc1", "gap_closed" and "hull_gain" as in `Evaluation`, and "flops", mean FLOPs (2 x MAC) per query.
    """
    every, costs = _checked(options, runs)
    rewards, n = options.rewards, options.n_fixed
    right = (options.ranks == 1).astype(np.float64)
    # One column for each mean that an interval needs; a resample averages them all at once.
    columns = np.column_stack(
        [
            *((probabilities * right).sum(axis=1) for probabilities in every),
            *(probabilities @ options.flops + thinking for probabilities, thinking in zip(every, costs, strict=True)),
            *((probabilities * rewards).sum(axis=1) for probabilities in every),
            rewards.max(axis=1),
            right[:, :n],
            rewards[:, :n],
        ]
    )
    fixed_flops = options.flops[:n]
    exact = _derive(columns.mean(axis=0)[None], fixed_flops, len(runs))
    drawn = _derive(bootstrap.resampled_means(columns, options.photo_ids, resamples, seed), fixed_flops, len(runs))
    return {name: Sampled(float(exact[name][0]), drawn[name]) for name in exact}


def _derive(means: npt.NDArray[np.float64], flops: npt.NDArray[np.float64], runs: int) -> Mapping[str, Any]:
    """What follows from the means of the columns of `sampled`, for each resample; (R,) each."""
    ends = np.cumsum([runs, runs, runs, 1, len(flops)])
    acc1, cost, reward, oracle, canvas_acc, canvas_reward = np.split(means, ends, axis=1)
    above = acc1 - fronts.hull_accuracy(flops, canvas_acc[:, None], cost)
    return {
        "acc1": acc1.mean(axis=1),
        "flops": cost.mean(axis=1),
        "gap_closed": fronts.gap_closed(reward.mean(axis=1), canvas_reward, oracle[:, 0]),
        "hull_gain": above.mean(axis=1),
    }


def _checked(
    options: Options, runs: Sequence[Policy]
) -> tuple[list[npt.NDArray[np.float64]], list[npt.NDArray[np.float64]]]:
    """Of each policy (N, M) probabilities and (N,) FLOPs of deciding."""
    if not runs:
        raise ValueError("there is no policy to evaluate")
    every = [options.probabilities(choice) for choice, _ in runs]
    return every, [_check_cost(cost, len(options)) for _, cost in runs]


def _check_cost(selector_flops: npt.ArrayLike, n: int) -> npt.NDArray[np.float64]:
    cost = np.asarray(selector_flops, dtype=np.float64)
    if cost.shape not in ((), (n,)) or not np.isfinite(cost).all() or (cost < 0).any():
        raise ValueError(f"selector_flops must be one number or ({n},), finite and not negative, got {cost.shape}")
    return np.broadcast_to(cost, (n,))


def jsonable(value: Any) -> Any:
    """A value as JSON can say it: nan and infinity become None, names of fields texts, tuples lists."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
