"""A data set that can be learnt, and small settings for quick runs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import TrainConfig
from agents.evaluation.setting import EnvConfig
from agents.selectors.base import Selector
from agents.studies.query_latency import QueryLatency, QueryRow
from agents.studies.selector_latency import SelectorCost, SelectorCosts
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.outcomes.looks import LookTable
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.sketch import VectorSketch
from tests.helpers import TOY_CANVASES, TOY_FLOPS, toy_photo

COUNTING = "counting"
"""Name of the data set whose sketches have one to four strokes."""

COUNTING_PHOTOS = {"train": 120, "val": 4, "test": 40}
COUNTING_LEVELS = 4

ALGORITHMS = ("reinforce", "ppo")
"""One with our own training loop and one with SB3's, for tests of what the algorithm has no part in."""

EVERY = tuple(algorithms.ALGORITHMS)
BANDITS = ("linucb", "linear_ts", "epsilon_greedy")
ON_POLICY = ("ppo", "a2c", "trpo")
OFF_POLICY = ("dqn", "qrdqn")


def strokes_of(row: int) -> int:
    """Number of strokes of the sketch in a row, 1 to 4."""
    return int(np.random.default_rng([row, 1]).integers(1, 5))


def counting_sketch(row: int) -> VectorSketch:
    """One to four short strokes at random places."""
    rng = np.random.default_rng([row, 2])
    return VectorSketch.from_strokes(
        [
            np.clip(rng.uniform(0.2, 0.8, 2) + rng.normal(0, 0.1, (int(rng.integers(1, 4)), 2)), 0, 1)
            for _ in range(strokes_of(row))
        ]
    )


def counting_dataset() -> SketchDataset:
    """`COUNTING_PHOTOS` photos with `COUNTING_LEVELS` sketches each."""
    rows = [
        (f"{split}-{i}", split, level)
        for split, n in COUNTING_PHOTOS.items()
        for i in range(n)
        for level in range(COUNTING_LEVELS)
    ]
    return SketchDataset(
        name=COUNTING,
        hash=hashlib.sha256(b"counting, version 1").hexdigest(),
        sketch_ids=np.array([f"{photo}/{level}" for photo, _, level in rows]),
        photo_ids=np.array([photo for photo, _, _ in rows]),
        split=np.array([split for _, split, _ in rows]),
        level=np.array([level for _, _, level in rows], dtype=np.int8),
        galleries={split: np.array([f"{split}-{i}" for i in range(n)]) for split, n in COUNTING_PHOTOS.items()},
        licence="none needed",
        read_sketch=counting_sketch,
        read_photo=toy_photo,
    )


def counting_table(dataset: SketchDataset, readable: bool) -> OutcomeTable:
    """Outcomes of a student that is right on one canvas and far off on the others.

    Args:
        dataset: `counting_dataset()`.
        readable: the right canvas is the number of strokes; else as many of each, dealt out at random.
    """
    n = len(dataset)
    right = np.array([strokes_of(row) - 1 for row in range(n)])
    if not readable:
        right = np.random.default_rng(0).permutation(right)
    photos = sorted(set(dataset.photo_ids.tolist()))
    place = {photo: index for index, photo in enumerate(photos)}
    true = np.array([place[photo] for photo in dataset.photo_ids.tolist()])
    hit = np.arange(4) == right[:, None]
    sizes = np.array([COUNTING_PHOTOS[split] for split in dataset.split.tolist()])
    top = np.full((n, 4, 5), -1)
    top[..., 0] = np.where(hit, true[:, None], -1)
    # The val gallery has four photos, so that a miss is still among the nearest five there.
    missed = np.minimum(20, sizes)[:, None]
    top[..., 4] = np.where(~hit & (missed <= 5), true[:, None], -1)
    return OutcomeTable(
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        student="counter",
        student_hash="3" * 64,
        canvases=np.array(TOY_CANVASES),
        flops=np.array(TOY_FLOPS),
        ranks=np.where(hit, 1, missed),
        distances=np.where(hit, 0.5, 1.0).astype(np.float32),
        triplet=np.where(hit, 0.0, 0.5).astype(np.float32),
        top=top,
        photos=np.array(photos),
        sketch_ids=dataset.sketch_ids,
        photo_ids=dataset.photo_ids,
        split=dataset.split,
        level=dataset.level,
        gallery_size=dict(COUNTING_PHOTOS),
        meta={"made_by": "tests"},
    )


def small(algorithm: str, env: EnvConfig, **changes: Any) -> TrainConfig:
    """Settings of a run of four updates; a bandit has its linear selector."""
    settings: dict[str, Any] = {"env": env, "total_steps": 128, "num_envs": 32}
    settings |= {"selector": "linear"} if algorithm in BANDITS else {"selector": "stats", "hidden": 8}
    if takes(algorithm, "batch_size"):
        settings["batch_size"] = 16
    return algorithms.make_config(algorithm, **{**settings, **changes})


def takes(algorithm: str, setting: str) -> bool:
    """Whether an algorithm has a setting of this name."""
    return hasattr(algorithms.make_config(algorithm), setting)


def weights(selector: Selector) -> dict[str, bytes]:
    """Every tensor's exact bytes."""
    return {name: tensor.numpy().tobytes() for name, tensor in selector.state_dict().items()}


def learnt(selector: Selector) -> dict[str, bytes]:
    """The exact bytes of what training changes; means and deviations of inputs follow from the data alone."""
    return {name: tensor.detach().numpy().tobytes() for name, tensor in selector.named_parameters()}


def observations(n_stats: int = 16, rows: int = 6, max_points: int = 10, seed: int = 0) -> dict[str, Any]:
    """Random observations of drawings of 1, 2, 3, ... points."""
    rng = np.random.default_rng(seed)
    points = np.zeros((rows, max_points, 5), dtype=np.float32)
    points[..., 4] = 1.0
    for row in range(rows):
        length = row + 1
        points[row, :length, :2] = rng.random((length, 2))
        points[row, :length, 4] = 0.0
        points[row, np.arange(length), np.where(rng.random(length) < 0.3, 3, 2)] = 1.0
    return {
        "points": torch.from_numpy(points.reshape(rows, -1)),
        "stats": torch.from_numpy(rng.random((rows, n_stats)).astype(np.float32)),
        "thumbnail": torch.from_numpy(rng.random((rows, 256)).astype(np.float32)),
    }


def is_easy(n: int) -> np.ndarray:
    """Whether the smallest canvas is right for each sketch, (n,): half of them, independent of the strokes."""
    return np.random.default_rng(11).permutation(np.arange(n) % 2 == 0)


def doubt_tables(dataset: SketchDataset) -> tuple[OutcomeTable, LookTable]:
    """Outcomes and looks of a student whose margin on canvas 16 shows whether it is right there.

    An easy sketch is right on canvas 16 only, with a margin of 0.1 to 0.3; any other on canvas 64 only, with a margin
    below 0.05 on 16. On the other canvases margins say nothing. Looks that are fused are right if one of them is.

    Args:
        dataset: `counting_dataset()`.
    """
    n, k = len(dataset), len(TOY_CANVASES)
    rng = np.random.default_rng(3)
    easy = is_easy(n)
    right = np.zeros((n, k), dtype=bool)
    right[easy, 0] = right[~easy, 2] = True
    margin = rng.uniform(0.0, 0.3, (n, k))
    margin[:, 0] = np.where(easy, rng.uniform(0.1, 0.3, n), rng.uniform(0.0, 0.05, n))
    sizes = np.array([COUNTING_PHOTOS[split] for split in dataset.split.tolist()])
    missed = np.minimum(20, sizes)[:, None]
    ranks = np.where(right, 1, missed)
    photos = sorted(set(dataset.photo_ids.tolist()))
    place = {photo: index for index, photo in enumerate(photos)}
    near = 0.5 + np.concatenate([np.zeros((n, k, 1)), margin[..., None] + 0.05 * np.arange(4)], axis=2)
    top = np.full((n, k, 5), -1)
    for row, (photo, split) in enumerate(zip(dataset.photo_ids.tolist(), dataset.split.tolist(), strict=True)):
        others = [place[name] for name in dataset.gallery(split).tolist() if name != photo]
        for column in range(k):
            nearest = rng.choice(others, min(5, len(others)), replace=False).tolist()
            nearest.insert(ranks[row, column] - 1, place[photo])
            shown = [one for one in nearest if one != place[photo] or ranks[row, column] <= 5][:5]
            top[row, column, : len(shown)] = shown
    near[top < 0] = 2.0
    true = np.array([place[photo] for photo in dataset.photo_ids.tolist()])[:, None, None]
    own = np.where(top == true, near, 0.0).sum(axis=2)
    table = OutcomeTable(
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        student="doubter",
        student_hash="4" * 64,
        canvases=np.array(TOY_CANVASES),
        flops=np.array(TOY_FLOPS),
        ranks=ranks,
        distances=np.where(own > 0, own, 1.5).astype(np.float32),
        triplet=np.where(right, 0.0, 0.5).astype(np.float32),
        top=top,
        photos=np.array(photos),
        sketch_ids=dataset.sketch_ids,
        photo_ids=dataset.photo_ids,
        split=dataset.split,
        level=dataset.level,
        gallery_size=dict(COUNTING_PHOTOS),
        meta={"made_by": "tests"},
    )
    sets = [each for each in range(1, 1 << k) if each.bit_count() > 1]
    fused = np.stack([right[:, [j for j in range(k) if each >> j & 1]].any(axis=1) for each in sets], axis=1)
    looks = LookTable(
        outcomes_hash=table.hash,
        distances=near.astype(np.float32),
        fused_of=np.array(sets),
        fused_ranks=np.where(fused, 1, missed),
        fused_triplet=np.where(fused, 0.0, 0.5),
        meta={"made_by": "tests"},
    )
    return table, looks


def stored_costs(path: Path) -> SelectorCosts:
    """The result of `report selectors` in a file."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return SelectorCosts(**{**fields, "selectors": tuple(SelectorCost(**one) for one in fields["selectors"])})


def stored_latency(path: Path) -> QueryLatency:
    """The result of `report query-latency` in a file."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    rows = tuple(QueryRow(**row) for row in fields["rows"])
    return QueryLatency(**{**fields, "rows": rows, "load": tuple(fields["load"])})
