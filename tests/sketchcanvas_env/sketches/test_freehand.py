"""Freehand variants: seeded, rougher level by level, never empty."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sketchcanvas_env.sketches.freehand import LEVELS, N_KINDS, freehand, roughness, seed_of
from sketchcanvas_env.sketches.sketch import VectorSketch

SEED = 4087017641  # CRC-32 of the id: must never change
CLEAN = VectorSketch.fit(
    [np.column_stack([np.cos(a), np.sin(a)]) * r for r in (1, 2, 3, 4) for a in [np.linspace(0, 6, 60)]]
    + [[(0, 0), (5, 1)], [(1, 1), (1.1, 1)], [(2, 2), (2, 2.2)], [(-3, 0), (0, 4)]]
)


def draw(level: int, seed: int = 0) -> VectorSketch:
    return freehand(CLEAN, LEVELS[level], np.random.RandomState(seed))


@pytest.mark.parametrize("level", range(4))
def test_same_seed_same_variant(level: int) -> None:
    one, other = draw(level), draw(level)
    assert one.n_strokes == other.n_strokes
    for a, b in zip(one.strokes, other.strokes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_differ_by_id() -> None:
    assert seed_of("1F600/1") == SEED
    assert len({seed_of(f"1F600/{level}") for level in range(4)}) == 4


def test_level_counts_of_strokes() -> None:
    # 8 strokes; none, none, a quarter and a half of them are left out.
    assert [draw(level).n_strokes for level in range(4)] == [8, 8, 6, 4]


def test_the_longest_strokes_tend_to_stay() -> None:
    kept = [draw(3, seed) for seed in range(40)]
    circles = sum(sum(len(s) > 4 for s in sketch.strokes) for sketch in kept)
    assert circles > 0.75 * 4 * len(kept)


def test_rougher_level_by_level() -> None:
    """Mean distance of the variant's points from the clean drawing's ink grows with the level."""
    dense = np.concatenate([np.linspace(a, b, 20) for s in CLEAN.strokes for a, b in pairwise(s)])

    def stray(level: int) -> float:
        points = np.concatenate([np.concatenate(draw(level, seed).strokes) for seed in range(20)])
        return float(np.hypot(*(points[:, None] - dense[None]).transpose(2, 0, 1)).min(axis=1).mean())

    strays = [stray(level) for level in range(4)]
    assert strays[0] < 0.01
    assert strays == sorted(strays)
    assert strays[3] > 2 * strays[1]


def test_one_stroke_stays() -> None:
    dot = VectorSketch.from_strokes([[(0.5, 0.5)]])
    assert freehand(dot, LEVELS[3], np.random.RandomState(0)).n_strokes == 1


def test_strengths_of_one_are_level_3_and_none_is_the_drawing_itself() -> None:
    assert roughness(np.ones(N_KINDS)) == LEVELS[3]
    assert roughness(np.zeros(N_KINDS)) == LEVELS[0]
    half = roughness([0.5, 0, 0, 0, 0, 2])
    assert (half.drop, half.wobble, half.rotate) == (LEVELS[3].drop / 2, 0.0, LEVELS[3].rotate * 2)


@pytest.mark.parametrize("strengths", [[1.0], [-0.1, 1, 1, 1, 1, 1], [np.nan, 1, 1, 1, 1, 1]])
def test_strengths_that_make_no_roughness_are_refused(strengths: list[float]) -> None:
    with pytest.raises(ValueError, match="strengths must be 6 finite numbers, none below 0"):
        roughness(strengths)
