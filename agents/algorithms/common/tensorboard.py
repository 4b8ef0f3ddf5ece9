"""TensorBoard, or nothing where no folder is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class Log:
    """Writes scalars to a TensorBoard folder.

    Use as a context manager, so that the last rows reach the disk.
    """

    def __init__(self, folder: Path | None, resumed_at: int = 0) -> None:
        """Open the folder.

        Args:
            folder: where to; None writes nothing.
            resumed_at: environment steps that an earlier attempt did; its rows beyond are hidden, as a resumed run
                writes them anew. 0 for a run from its start.
        """
        self._writer: Any = None
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=resumed_at + 1 if resumed_at else None)

    def __enter__(self) -> Log:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()

    @property
    def on(self) -> bool:
        """Whether anything is written."""
        return self._writer is not None

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one value for each name at an environment step, to the disk: a killed run keeps what it has logged."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()


def batch_scalars(final_info: Mapping[str, npt.NDArray[Any]], rewards: npt.NDArray[np.float64]) -> dict[str, float]:
    """What the episodes that one vector step ended tell, averaged over them; nothing if there are none.

    Args:
        final_info: the vector environment's `info["final_info"]`: rank, flops, canvas, regret, each (num_envs,), with
            the masks that say who ended; where episodes have several steps also "return".
        rewards: (num_envs,).
    """
    ended = final_info.get("_rank")
    if ended is None or not ended.any():
        return {}
    final = {name: values[ended] for name, values in final_info.items() if not name.startswith("_")}
    scalars = {
        "batch/reward": float(np.mean(final.get("return", rewards[ended]))),
        "batch/acc1": float(np.mean(final["rank"] == 1)),
        "batch/student_gflops": float(np.mean(final["flops"])) / 1e9,
    }
    if "regret" in final:
        scalars["batch/regret"] = float(np.mean(final["regret"]))
    for canvas, count in zip(*np.unique(final["canvas"], return_counts=True), strict=True):
        scalars[f"share/{canvas}"] = float(count) / len(final["rank"])
    return scalars
