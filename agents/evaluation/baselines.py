"""What every selector is held against: fixed canvases, chance, the hull of the fixed canvases, the oracle.

A policy on a table is either one column for each sketch, (N,) int64, or a probability for each column, (N, K)
float64; `evaluate.evaluate` takes both and computes exact expectations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sketchcanvas_env.outcomes.table import OutcomeTable

Actions = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]


def fixed(table: OutcomeTable, canvas: int) -> Actions:
    """One canvas for every sketch, (N,).

    Raises:
        ValueError: the table lacks that canvas; the message lists those it has.
    """
    return np.full(len(table), table.columns([canvas])[0], dtype=np.int64)


def random(table: OutcomeTable) -> Probabilities:
    """Every canvas with the same probability, (N, K)."""
    return np.full((len(table), table.n_canvases), 1.0 / table.n_canvases)


def best_fixed(
    table: OutcomeTable,
    tradeoff: float = 0.2,
    rank_weight: float = 1.0,
    triplet_weight: float = 0.1,
    cost: str = "flops",
) -> Actions:
    """The fixed canvas with the highest mean reward on this very table (in hindsight), (N,)."""
    return np.full(len(table), table.best_fixed(tradeoff, rank_weight, triplet_weight, cost), dtype=np.int64)


def oracle(
    table: OutcomeTable,
    tradeoff: float = 0.2,
    rank_weight: float = 1.0,
    triplet_weight: float = 0.1,
    cost: str = "flops",
) -> Actions:
    """The canvas with the highest reward of each sketch, (N,): no selector can earn more."""
    return table.oracle(tradeoff, rank_weight, triplet_weight, cost)


def hull(table: OutcomeTable, flops: float) -> Probabilities:
    """The coin toss between two fixed canvases that reaches the hull at a mean cost, (N, K).

    Args:
        table: outcomes.
        flops: mean FLOPs per query to match; outside the hull the nearest end is taken, which is one canvas.
    """
    vertices = table.hull()
    costs = vertices[:, 0]
    target = float(np.clip(flops, costs[0], costs[-1]))
    high = int(np.searchsorted(costs, target))
    low = max(high - 1, 0)
    share = 1.0 if high == low else (target - costs[low]) / (costs[high] - costs[low])
    row = np.zeros(table.n_canvases)
    row[_column(table, vertices[low])] += 1.0 - share
    row[_column(table, vertices[high])] += share
    return np.tile(row, (len(table), 1))


def _column(table: OutcomeTable, vertex: npt.NDArray[np.float64]) -> int:
    """The canvas that a hull vertex stands for."""
    return int(np.flatnonzero((table.flops == vertex[0]) & (table.acc() == vertex[1]))[0])


def by_name(
    name: str,
    table: OutcomeTable,
    tradeoff: float = 0.2,
    rank_weight: float = 1.0,
    triplet_weight: float = 0.1,
    cost: str = "flops",
) -> Actions | Probabilities:
    """A baseline's policy on a table.

    Args:
        name: "fixed:SIDE", "hull:GFLOPS", "random", "best_fixed" or "oracle".
        table: outcomes on the canvases on offer.
        tradeoff: weight of cost in the reward that "best_fixed" and "oracle" go by.
        rank_weight: weight of 1 / rank in it.
        triplet_weight: weight of the triplet loss in it.
        cost: what it charges, "flops" or "latency".

    Raises:
        ValueError: an unknown name (the message lists what exists) or canvas.
    """
    plain: dict[str, Callable[[], Actions | Probabilities]] = {
        "random": lambda: random(table),
        "best_fixed": lambda: best_fixed(table, tradeoff, rank_weight, triplet_weight, cost),
        "oracle": lambda: oracle(table, tradeoff, rank_weight, triplet_weight, cost),
    }
    if name in plain:
        return plain[name]()
    kind, _, side = name.partition(":")
    if kind == "fixed" and side.isdecimal():
        return fixed(table, int(side))
    if kind == "hull" and (budget := _positive(side)) is not None:
        return hull(table, budget * 1e9)
    sides = ", ".join(f"fixed:{canvas}" for canvas in table.canvases)
    raise ValueError(f"unknown baseline {name!r}; there are {sides}, hull:GFLOPS, {', '.join(plain)}")


def is_name(text: str) -> bool:
    """Whether a text looks like a baseline's name rather than a file's."""
    return text in ("random", "best_fixed", "oracle") or text.partition(":")[0] in ("fixed", "hull")


def _positive(text: str) -> float | None:
    """A number above zero and below infinity, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0.0 < number < float("inf") else None
