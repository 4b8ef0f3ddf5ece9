"""Edges as strokes: chains cover every edge pixel once, and a photo's outline comes out where it is."""

from __future__ import annotations

import numpy as np
import pytest

from students.training.pool.edges import chains, edge_sketch

pytest.importorskip("skimage")


def test_chains_cover_every_pixel_once_and_are_connected() -> None:
    edges = np.random.RandomState(0).rand(40, 40) < 0.3
    found = chains(edges)
    visited = np.concatenate(found)
    assert len(np.unique(visited, axis=0)) == len(visited) == edges.sum()
    assert edges[tuple(visited.T)].all()
    for chain in found:
        assert (np.abs(np.diff(chain, axis=0)).max(axis=1, initial=0) <= 1).all()


def test_an_open_line_is_one_chain_from_end_to_end() -> None:
    edges = np.zeros((9, 9), dtype=bool)
    edges[4, 1:8] = True
    (chain,) = chains(edges)
    assert sorted(chain[[0, -1], 1].tolist()) == [1, 7]


def test_outline_of_a_square() -> None:
    image = np.full((256, 256, 3), 255, dtype=np.uint8)
    image[64:192, 64:192] = 0
    sketch = edge_sketch(image)
    assert sketch is not None
    points = np.concatenate(sketch.strokes)
    # fitted to the canvas with its margin; the edge is one closed line
    np.testing.assert_allclose([points.min(), points.max()], [0.08, 0.92], atol=1e-5)
    on_outline = np.minimum(np.abs(points - 0.08), np.abs(points - 0.92)).min(axis=1)
    assert on_outline.max() < 0.05


def test_colours_of_one_brightness_have_an_edge() -> None:
    image = np.zeros((128, 128, 3), dtype=np.uint8)
    image[:, :64, 0] = 200  # red beside blue
    image[:, 64:, 2] = 200
    assert edge_sketch(image) is not None


def test_a_blank_photo_has_no_edges() -> None:
    assert edge_sketch(np.full((64, 64, 3), 255, dtype=np.uint8)) is None
