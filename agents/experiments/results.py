"""The result of a comparison, as data; `agents.reports` renders it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.evaluation.bootstrap import Estimate, Gain
from agents.evaluation.evaluate import Evaluation
from agents.evaluation.seeds import Improvement, Profile
from agents.evaluation.setting import VAL_SPLIT
from agents.experiments.runs import TRAIN_SPLIT, StoredRun
from agents.experiments.settings import CompareConfig

CHOSEN = "chosen on val"
"""What the name of the selector begins with that `val` chooses among all runs."""

PROFILE_THRESHOLDS = tuple(np.round(np.linspace(-0.5, 1.0, 31), 2).tolist())
"""Levels of gap closed at which performance profiles are taken."""


def made_on(kind: str, split: str) -> str:
    """What was done to policies of a kind (`Row.kind`) on a split, "" for nothing: there they prove nothing."""
    if split == TRAIN_SPLIT and kind in ("reference", "agent", "chosen"):
        return "trained on this very split"
    return "chosen on this very split" if split == VAL_SPLIT and kind in ("rule", "chosen") else ""


@dataclass(frozen=True)
class Row:
    """One policy of the comparison.

    Attributes:
        name: what to call it.
        kind: "fixed", "random", "best_fixed", "oracle", "rule" (of a cascade, chosen on val), "reference" (told
            all rewards of train), "agent", "hull" or "chosen".
        evaluation: how it does; of an agent, the mean over its seeds.
        seeds: an agent's seeds one by one, empty for the others.
        seconds: wall-clock training time of each seed.
        curves: of each seed, what it earned on `val` in the course of training.
    """

    name: str
    kind: str
    evaluation: Evaluation
    seeds: tuple[Evaluation, ...] = ()
    seconds: tuple[float, ...] = ()
    curves: tuple[tuple[dict[str, Any], ...], ...] = ()

    def decides(self) -> bool:
        """Whether it, or any of its seeds, sends sketches to more than one option."""
        return any(max(one.share.values()) < 1.0 for one in self.seeds or (self.evaluation,))

    def made_on(self, split: str) -> str:
        """See `made_on`."""
        return made_on(self.kind, split)

    def to_json(self) -> dict[str, Any]:
        """The row as JSON-able values; the curves are in the pack of the runs."""
        return {
            "name": self.name,
            "kind": self.kind,
            **self.evaluation.to_json(),
            "seeds": [seed.to_json() for seed in self.seeds],
            "train_seconds": list(self.seconds),
        }


@dataclass(frozen=True)
class Verdict:
    """What may be claimed about one agent beside the others.

    Attributes:
        name: of the agent.
        scores: `net_gap_closed` of each seed; empty with one seed, or where there is no gap.
        gap_closed: interquartile mean of the scores, interval over seeds; None without scores.
        profile: share of the scores above each of `PROFILE_THRESHOLDS`; None without scores.
        over_fixed: mean reward, selector charged, above the fixed canvas that was best on `val`, interval over photos.
        over_fixed_p: its p-value, corrected over all agents (Holm).
        above_hull_p: p-value of a hull gain, corrected over all agents (Holm).
        improvement: probability that a run of it scores higher than a run of each other agent; p-values exact and
            corrected over all pairs (Holm).
    """

    name: str
    scores: tuple[float, ...]
    gap_closed: Estimate | None
    profile: Profile | None
    over_fixed: Gain
    over_fixed_p: float
    above_hull_p: float
    improvement: Mapping[str, Improvement]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return {
            "name": self.name,
            "scores": list(self.scores),
            "gap_closed": None if self.gap_closed is None else self.gap_closed._asdict(),
            "profile": None if self.profile is None else {k: v.tolist() for k, v in self.profile._asdict().items()},
            "over_fixed": self.over_fixed._asdict(),
            "over_fixed_p": self.over_fixed_p,
            "above_hull_p": self.above_hull_p,
            "improvement": {name: found._asdict() for name, found in self.improvement.items()},
        }


@dataclass(frozen=True)
class CompareResult:
    """The whole comparison.

    Attributes:
        config: what was asked for.
        rows: the policies.
        verdicts: what may be claimed about each agent.
        hull: (M, 2) vertices of the hull of the fixed canvases, (FLOPs, acc@1).
        front: (M, 2) vertices of the front that knowing all outcomes reaches.
        provenance: versions, hashes, machine.
        seconds: wall-clock time of everything; runs that were there already took none.
        trained: the runs of each agent, not part of the JSON.
        chosen: name of the run that `val` chooses among all.
    """

    config: CompareConfig
    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    hull: npt.NDArray[np.float64]
    front: npt.NDArray[np.float64]
    provenance: dict[str, Any]
    seconds: float
    chosen: str
    trained: Mapping[str, Sequence[StoredRun]] = field(default_factory=dict, repr=False)

    def row(self, name: str) -> Row:
        """The policy of a name.

        Raises:
            KeyError: no such row; the message lists what exists.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}; there are {', '.join(row.name for row in self.rows)}")

    def to_json(self) -> dict[str, Any]:
        """Everything but the networks as JSON-able values."""
        return {
            "config": self.config.to_json(),
            "rows": [row.to_json() for row in self.rows],
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "profile_thresholds": list(PROFILE_THRESHOLDS),
            "hull": self.hull.tolist(),
            "front": self.front.tolist(),
            "provenance": self.provenance,
            "seconds": self.seconds,
            "chosen": self.chosen,
        }
