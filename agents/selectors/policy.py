"""What a selector does on a whole split: the canvas it would choose for every sketch, and its own cost."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import numpy.typing as npt
import torch

from agents.selectors.base import Selector, as_tensors
from agents.selectors.choice import choose
from sketchcanvas_env.tasks.canvas import Task

BATCH = 512


def actions_of(
    selector: Selector, task: Task, tradeoff: float | None = None, batch_size: int = BATCH
) -> npt.NDArray[np.int64]:
    """The canvas with the highest score of every sketch, by `choice.choose`; nothing is sampled.

    Computed in float64, so that what is chosen does not depend on the processor.

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
    exact = in_float64(selector)
    with torch.inference_mode():
        batches = [
            exact({name: part.double() for name, part in obs.items()})
            for obs in _batches(selector, task, tradeoff, batch_size)
        ]
    return choose(torch.cat(batches).numpy())


def in_float64(selector: Selector) -> Selector:
    """A copy of a network that computes in float64."""
    return deepcopy(selector).double()


def flops_of(
    selector: Selector, task: Task, tradeoff: float | None = None, batch_size: int = BATCH
) -> npt.NDArray[np.float64]:
    """FLOPs (2 x MAC) of deciding about every sketch, (n,) float64; arguments as for `actions_of`."""
    return torch.cat([selector.flops(obs) for obs in _batches(selector, task, tradeoff, batch_size)]).numpy()


def _batches(
    selector: Selector, task: Task, tradeoff: float | None, batch_size: int
) -> Iterator[dict[str, torch.Tensor]]:
    if tradeoff is None and selector.conditioned:
        tradeoff = task.tradeoff
    selector.check_tradeoff(tradeoff)
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
