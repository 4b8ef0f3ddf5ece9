"""What a selector does on a whole split: the action of every sketch, and the FLOPs of deciding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.selectors.base import Selector, as_tensors
from agents.selectors.decision import best_actions, choose
from agents.selectors.observation import check_tradeoff
from sketchcanvas_env.tasks.canvas import Task
from sketchcanvas_env.tasks.cascade import CascadeTask
from sketchcanvas_env.tasks.episodes import only

BATCH = 512
"""Sketches computed at once."""


def actions_of(
    selector: Selector, task: Task, tradeoff: float | None = None, batch_size: int = BATCH
) -> npt.NDArray[np.int64]:
    """The canvas with the highest score of every sketch, by `decision.choose`; nothing is sampled.

    Computed in float64, so that the choice does not depend on the processor.

    Args:
        selector: a network over the canvases of the task.
        task: a split with its observations (`EnvConfig.task`).
        tradeoff: at which a conditioned network is to choose, None for the task's; other networks take none.
        batch_size: sketches at once.

    Returns:
        (n,) int64 columns, in the order of the task's table.

    Raises:
        ValueError: a network over another number of canvases, a tradeoff that is not wanted or out of range.
    """
    if selector.n_actions != len(task.canvases):
        raise ValueError(f"the selector chooses from {selector.n_actions} canvases, the task has {task.canvases}")
    exact = _in_float64(selector)
    with torch.inference_mode():
        batches = [
            exact({name: part.double() for name, part in obs.items()})
            for obs in _batches(selector, task, tradeoff, batch_size)
        ]
    return choose(torch.cat(batches).numpy())


def flops_of(
    selector: Selector, task: Task, tradeoff: float | None = None, batch_size: int = BATCH
) -> npt.NDArray[np.float64]:
    """FLOPs (2 x MAC) of deciding about every sketch, (n,) float64; arguments as for `actions_of`."""
    return torch.cat([selector.flops(obs) for obs in _batches(selector, task, tradeoff, batch_size)]).numpy()


def _batches(
    selector: Selector, task: Task, tradeoff: float | None, batch_size: int
) -> Iterator[dict[str, torch.Tensor]]:
    if tradeoff is None and selector.conditioned:
        tradeoff = task.arguments.tradeoff
    check_tradeoff(selector.conditioned, tradeoff)
    missing = sorted(set(selector.reads) - set(task.pictures) - {"tradeoff"})
    if missing:
        raise ValueError(
            f"selector {selector.name!r} reads {', '.join(missing)}, which this environment does not show: "
            "make it with thumbnail=True"
        )
    for i in range(0, len(task), batch_size):
        rows = slice(i, i + batch_size)
        # The task's arrays are read-only, which torch cannot express: copy a batch at a time.
        obs = {name: part[rows].copy() for name, part in task.pictures.items() if name in selector.reads}
        if tradeoff is not None:
            obs["tradeoff"] = np.full((len(task.stats[rows]), 1), tradeoff, dtype=np.float32)
        yield as_tensors(obs)


# ---- cascades


def cascade_actions(selector: Selector, obs: Mapping[str, Tensor], started: Tensor) -> Tensor:
    """The action of each episode, (B,) int64, by `decision.best_actions`.

    Args:
        selector: a network over K canvases and stopping.
        obs: a batch of observations.
        started: (B,) bool, whether a look was taken.
    """
    logits: Tensor = selector(obs)
    return torch.from_numpy(best_actions(logits.detach().numpy(), started.numpy()))


def nodes_of(selector: Selector, cascade: CascadeTask, batch_size: int = BATCH) -> npt.NDArray[np.int64]:
    """The node at which every sketch's episode ends; computed in float64, as `actions_of`.

    Args:
        selector: a network over the canvases of the cascade and stopping.
        cascade: a split.
        batch_size: sketches at once.

    Returns:
        (n,) int64 columns of the cascade's nodes.

    Raises:
        ValueError: a network over another number of canvases, or a conditioned one.
    """
    check_tradeoff(selector.conditioned, None)
    if selector.n_actions != cascade.n_canvases + 1:
        raise ValueError(
            f"the selector chooses from {selector.n_actions} actions, the cascade has the canvases "
            f"{cascade.task.canvases} and stopping"
        )
    n, exact = len(cascade), _in_float64(selector)
    seen, last = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    for start in range(0, n, batch_size):
        state = cascade.start(np.arange(start, min(start + batch_size, n)))
        while state.rows.size:
            obs = {name: part.double() for name, part in as_tensors(cascade.observe(state)).items()}
            with torch.inference_mode():
                actions = cascade_actions(exact, obs, torch.from_numpy(state.seen > 0)).numpy()
            _, state, ended = cascade.advance(state, actions)
            seen[state.rows], last[state.rows] = state.seen, state.last
            state = only(state, ~ended)
    return cascade.node_of(seen, last)


def node_flops_of(
    selector: Selector, cascade: CascadeTask, nodes: npt.NDArray[np.int64], batch_size: int = BATCH
) -> npt.NDArray[np.float64]:
    """FLOPs (2 x MAC) of all decisions about every sketch, (n,) float64.

    The selector decides before each look and once more to stop. A decision's FLOPs do not depend on the looks.

    Args:
        selector: a network over the canvases of the cascade and stopping.
        cascade: a split.
        nodes: (n,) where the episodes end.
        batch_size: sketches at once.
    """
    n = len(cascade)
    looks = cascade.members[cascade.node_seen].sum(axis=1)[nodes]
    each = np.zeros(n)
    for start in range(0, n, batch_size):
        rows = np.arange(start, min(start + batch_size, n))
        each[rows] = selector.flops(as_tensors(cascade.observe(cascade.start(rows)))).numpy()
    return np.asarray((looks + 1) * each)


def _in_float64(selector: Selector) -> Selector:
    """A copy of a network that computes in float64."""
    return deepcopy(selector).double()
