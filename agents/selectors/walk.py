"""What a selector does in a cascade: look, look again or stop, until every sketch of a split has its answer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agents.selectors.base import Selector, as_tensors
from agents.selectors.cascade_observation import best_actions
from sketchcanvas_env.tasks.cascade import CascadeTask
from sketchcanvas_env.tasks.episodes import only

BATCH = 512


def choose(selector: Selector, obs: Mapping[str, Tensor], started: Tensor) -> Tensor:
    """The most probable action of each episode, (B,) int64, by `shown.best_actions`.

    Args:
        selector: a network over K canvases and stopping.
        obs: what it is shown.
        started: (B,) bool, whether something was looked at.
    """
    logits: Tensor = selector(obs)
    return torch.from_numpy(best_actions(logits.detach().numpy(), started.numpy()))


def nodes_of(
    selector: Selector, cascade: CascadeTask, batch_size: int = BATCH
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Where every sketch's episode ends, and what deciding costs.

    Args:
        selector: a network over the canvases of the cascade and stopping.
        cascade: a split.
        batch_size: sketches at once.

    Returns:
        (n,) int64 columns of the cascade's nodes, and (n,) float64 FLOPs (2 x MAC) of all decisions about a sketch:
        the selector is paid each time that it is asked.

    Raises:
        ValueError: a network over another number of canvases, or one that is told a tradeoff.
    """
    selector.check_tradeoff(None)
    if selector.n_actions != cascade.n_canvases + 1:
        raise ValueError(
            f"the selector chooses from {selector.n_actions} actions, the cascade has the canvases "
            f"{cascade.task.canvases} and stopping"
        )
    n = len(cascade)
    seen, last, thinking = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64), np.zeros(n)
    for start in range(0, n, batch_size):
        state = cascade.start(np.arange(start, min(start + batch_size, n)))
        while state.rows.size:
            obs = as_tensors(cascade.observe(state))
            with torch.inference_mode():
                actions = choose(selector, obs, torch.from_numpy(state.seen > 0)).numpy()
            thinking[state.rows] += selector.flops(obs).numpy()
            _, state, ended = cascade.advance(state, actions)
            seen[state.rows], last[state.rows] = state.seen, state.last
            state = only(state, ~ended)
    return cascade.node_of(seen, last), thinking
