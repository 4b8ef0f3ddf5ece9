"""What a selector does in a cascade: look, look again or stop, until every sketch of a split has its answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.selectors.base import Selector, as_tensors
from agents.selectors.cascade_observation import best_actions
from agents.selectors.policy import in_float64
from sketchcanvas_env.tasks.cascade import CascadeTask
from sketchcanvas_env.tasks.episodes import only

BATCH = 512


def choose(selector: Selector, obs: Mapping[str, Tensor], started: Tensor) -> Tensor:
    """The action of each episode, (B,) int64, by `cascade_observation.best_actions`.

    Args:
        selector: a network over K canvases and stopping.
        obs: what it is shown.
        started: (B,) bool, whether something was looked at.
    """
    logits: Tensor = selector(obs)
    return torch.from_numpy(best_actions(logits.detach().numpy(), started.numpy()))


def nodes_of(selector: Selector, cascade: CascadeTask, batch_size: int = BATCH) -> npt.NDArray[np.int64]:
    """Where every sketch's episode ends; computed in float64, as `policy.actions_of`.

    Args:
        selector: a network over the canvases of the cascade and stopping.
        cascade: a split.
        batch_size: sketches at once.

    Returns:
        (n,) int64 columns of the cascade's nodes.

    Raises:
        ValueError: a network over another number of canvases, or one that is told a tradeoff.
    """
    selector.check_tradeoff(None)
    if selector.n_actions != cascade.n_canvases + 1:
        raise ValueError(
            f"the selector chooses from {selector.n_actions} actions, the cascade has the canvases "
            f"{cascade.task.canvases} and stopping"
        )
    n, exact = len(cascade), in_float64(selector)
    seen, last = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    for start in range(0, n, batch_size):
        state = cascade.start(np.arange(start, min(start + batch_size, n)))
        while state.rows.size:
            obs = as_tensors(cascade.observe(state))
            told = {name: part.double() for name, part in obs.items()}
            with torch.inference_mode():
                actions = choose(exact, told, torch.from_numpy(state.seen > 0)).numpy()
            _, state, ended = cascade.advance(state, actions)
            seen[state.rows], last[state.rows] = state.seen, state.last
            state = only(state, ~ended)
    return cascade.node_of(seen, last)


def flops_of(
    selector: Selector, cascade: CascadeTask, nodes: npt.NDArray[np.int64], batch_size: int = BATCH
) -> npt.NDArray[np.float64]:
    """FLOPs (2 x MAC) of all decisions about every sketch, (n,) float64: the selector is paid each time it is asked.

    It is asked before each look and once more to stop. What a decision costs does not depend on the looks.

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
