"""What a selector does on a whole split: the canvas it would choose for every sketch, and its own cost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from agents.selectors import Selector
from agents.training import as_tensors
from sketchcanvas_env.task import Task

BATCH = 512


def actions_of(selector: Selector, task: Task, batch_size: int = BATCH) -> npt.NDArray[np.int64]:
    """The most probable canvas of every sketch; nothing is sampled.

    Args:
        selector: a network over the canvases of the task.
        task: a split with its observations (`EnvConfig.task`).
        batch_size: sketches at once.

    Returns:
        (n,) int64 columns, in the order of the task's table.

    Raises:
        ValueError: a network over another number of canvases.
    """
    if selector.n_actions != len(task.canvases):
        raise ValueError(f"the selector chooses from {selector.n_actions} canvases, the task has {task.canvases}")
    with torch.inference_mode():
        batches = [selector(obs).argmax(dim=1) for obs in _batches(task, batch_size)]
    return torch.cat(batches).numpy()


def flops_of(selector: Selector, task: Task, batch_size: int = BATCH) -> npt.NDArray[np.float64]:
    """FLOPs (2 x MAC) of deciding about every sketch, (n,) float64."""
    return torch.cat([selector.flops(obs) for obs in _batches(task, batch_size)]).numpy()


def _batches(task: Task, batch_size: int) -> list[dict[str, torch.Tensor]]:
    # The task's arrays are read-only, which torch cannot express: copy a batch at a time.
    starts = range(0, len(task), batch_size)
    return [
        as_tensors({"points": task.points[i : i + batch_size].copy(), "stats": task.stats[i : i + batch_size].copy()})
        for i in starts
    ]
