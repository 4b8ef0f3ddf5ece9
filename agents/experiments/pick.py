"""An operating point out of a sweep: fixed canvases, selectors that look once and cascades alike.

The choice is made on `val`; the answer repeats what the reported split says about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.experiments import pack
from agents.experiments.stored import MAX_RESULT_BYTES
from agents.experiments.sweep import SWEEP_FILE, Candidate
from sketchcanvas_env.storage.files import read_json


@dataclass(frozen=True)
class Pick:
    """The operating point to take.

    Attributes:
        candidate: which policy.
        folder: of the sweep; its pack holds the selector under the name `candidate.run`.
        split: which split `candidate.acc1` and `candidate.gflops` are of.
    """

    candidate: Candidate
    folder: Path
    split: str

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {**asdict(self.candidate), "split": self.split}

    def save_selector(self, path: str | Path) -> Path:
        """Write the selector to a file that `agents.load` reads, and return its path.

        Raises:
            ValueError: a fixed canvas, which needs none, or a selector whose weights were not kept.
        """
        if self.candidate.run is None:
            raise ValueError(f"a fixed canvas of {self.candidate.canvas} px was picked: there is no selector to save")
        return pack.extract(self.folder, self.candidate.run, path)


def pick(folder: str | Path, max_gflops: float | None = None, min_acc: float | None = None) -> Pick:
    """The best policy of a stored sweep under a budget, or the cheapest that is good enough; judged on `val`.

    A fixed canvas is a policy, too: where none of the selectors does better, it is the answer.

    Args:
        folder: of the sweep.
        max_gflops: mean GFLOPs (2 x MAC) that a query may cost, selector included.
        min_acc: acc@1 that must be reached, in [0, 1].

    Returns:
        Of the policies that meet the demands: with a budget the most accurate, the cheapest of equals; with an
        accuracy alone the cheapest.

    Raises:
        FileNotFoundError: no sweep in the folder.
        ValueError: no demand, one that no policy meets (the message says what can be had), a damaged file.
    """
    if max_gflops is None and min_acc is None:
        raise ValueError("say what is wanted: at most so many GFLOPs, at least such an accuracy, or both")
    if min_acc is not None and not 0.0 <= min_acc <= 1.0:
        raise ValueError(f"the accuracy is a share, between 0 and 1, got {min_acc}")
    candidates, split = _read_candidates(Path(folder) / SWEEP_FILE)
    able = [
        one
        for one in candidates
        if (max_gflops is None or one.val_gflops <= max_gflops) and (min_acc is None or one.val_acc1 >= min_acc)
    ]
    if not able:
        cheapest, best = min(one.val_gflops for one in candidates), max(one.val_acc1 for one in candidates)
        raise ValueError(
            f"no policy of this sweep meets that on val: they start at {cheapest:.4f} GFLOPs and reach "
            f"{100 * best:.1f} % acc@1"
        )
    if max_gflops is None:
        chosen = min(able, key=lambda one: (one.val_gflops, -one.val_acc1))
    else:
        chosen = min(able, key=lambda one: (-one.val_acc1, one.val_gflops))
    return Pick(chosen, Path(folder), split)


def _read_candidates(path: Path) -> tuple[Sequence[Candidate], str]:
    if not path.is_file():
        raise FileNotFoundError(f"no sweep in {path.parent}: {path.name} is missing; 'sketchcanvas sweep' makes one")
    try:
        stored = read_json(path, MAX_RESULT_BYTES)
        candidates = [Candidate(**fields) for fields in stored["candidates"]]
        split = str(stored["config"]["compare"]["split"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no result of a sweep: {error}") from None
    if not candidates:
        raise ValueError(f"{path} is no result of a sweep: it has no candidates")
    return candidates, split
