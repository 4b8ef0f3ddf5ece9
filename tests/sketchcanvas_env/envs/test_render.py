"""Rendering: pictures and lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from sketchcanvas_env.envs import render
from sketchcanvas_env.envs.canvas import SketchCanvasEnv
from sketchcanvas_env.sketches.raster import rasterise
from tests.helpers import Toy

PANEL, HEAD = render.PANEL, render._HEAD
LEFT, MIDDLE, RIGHT = (render._MARGIN + i * (PANEL + render._MARGIN) for i in range(3))


def panel(picture: np.ndarray, x: int) -> np.ndarray:
    return picture[HEAD : HEAD + PANEL, x : x + PANEL]


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == colour).all(axis=-1).sum())


@pytest.fixture
def env(toy: Toy) -> SketchCanvasEnv:
    return SketchCanvasEnv(render_mode="rgb_array", **toy.kwargs)  # type: ignore[arg-type]


def shown(env: SketchCanvasEnv, index: int, action: int) -> tuple[np.ndarray, dict[str, Any]]:
    env.reset(options={"index": index})
    info = env.step(action)[4]
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (render.HEIGHT, render.WIDTH, 3)
    assert picture.dtype == np.uint8
    return picture, info


def index_with_rank(env: SketchCanvasEnv, action: int, first: bool) -> int:
    """A sketch whose true photo comes first at a canvas, or is not among the five nearest."""
    assert env.table is not None
    ranks = env.table.ranks[:, action]
    return int(np.flatnonzero(ranks == 1 if first else ranks > 5)[0])


@pytest.mark.parametrize("action", [0, 1, 2, 3])
def test_strokes_and_canvas_are_shown_pixel_by_pixel(env: SketchCanvasEnv, action: int) -> None:
    picture, info = shown(env, 5, action)
    sketch = env.task.sketch(5)
    assert np.array_equal(panel(picture, LEFT)[..., 0], rasterise(sketch, 256))
    side = info["canvas"]
    expected = np.kron(rasterise(sketch, side), np.ones((256 // side, 256 // side), dtype=np.uint8))
    assert np.array_equal(panel(picture, MIDDLE)[..., 1], expected)


def test_canvases_of_any_side_are_enlarged_to_the_panel(toy: Toy) -> None:
    pixels = np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)
    enlarged = render.enlarged(pixels)
    assert enlarged.shape == (PANEL, PANEL)
    assert set(np.unique(np.diff(np.flatnonzero(np.diff(enlarged[0].astype(int)))))) <= {5, 6}


def test_the_true_photo_is_framed(env: SketchCanvasEnv) -> None:
    hit, info = shown(env, index_with_rank(env, 3, first=True), 3)
    assert info["rank"] == 1
    assert count(panel(hit, RIGHT), render._TRUE) > 500
    assert count(hit, render._MISSED) == 0
    missed, info = shown(env, index_with_rank(env, 0, first=False), 0)
    assert info["rank"] > 5
    assert count(missed, render._TRUE) == 0
    assert count(panel(missed, RIGHT), render._MISSED) > 500


def test_the_five_nearest_photos_are_shown_in_order(env: SketchCanvasEnv) -> None:
    index = index_with_rank(env, 3, first=True)
    picture, _ = shown(env, index, 3)
    assert env.table is not None
    for place, photo in enumerate(env.table.photos[env.table.top[index, 3]].tolist()):
        x = RIGHT + place % 3 * 88 + 40
        y = HEAD + place // 3 * 124 + 40
        assert picture[y, x].tolist() == env.dataset.photo(photo)[20, 20].tolist()


def test_the_picture_before_a_step_has_neither_canvas_nor_photos(env: SketchCanvasEnv) -> None:
    env.reset(options={"index": 2})
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (render.HEIGHT, render.WIDTH, 3)
    # One flat colour where photos will be: the answer must not show.
    assert len(np.unique(panel(picture, RIGHT).reshape(-1, 3), axis=0)) == 1
    middle = panel(picture, MIDDLE)
    assert count(middle, (255, 255, 255)) > 0.9 * PANEL * PANEL
    assert count(middle, render._FAINT) > 0


def test_a_picture_is_deterministic_and_depends_on_the_episode(env: SketchCanvasEnv) -> None:
    pictures = [shown(env, 5, action)[0] for action in (0, 1)]
    assert np.array_equal(shown(env, 5, 0)[0], pictures[0])
    assert not np.array_equal(*pictures)
    # The middle and the line below name another canvas.
    assert not np.array_equal(*(picture[HEAD + PANEL + 1 :] for picture in pictures))


def test_a_long_title_is_cut_to_its_panel() -> None:
    short, long = (render.Page(render.WIDTH, render.HEIGHT) for _ in range(2))
    for page, title in ((short, "strokes of 1F468"), (long, "strokes of 1F468-200D-1F469-200D-1F467-200D-1F466/3")):
        page.panel(LEFT, title, np.full((PANEL, PANEL), 255, dtype=np.uint8))
    assert (long.pixels()[: HEAD - 1, LEFT + PANEL :] == render._PAPER).all()
    assert not np.array_equal(long.pixels(), short.pixels())
    assert long._cut("strokes of 1F468") == "strokes of 1F468"
    assert long._cut("x" * 999).endswith("xxx...")


def test_the_line_of_an_episode(toy: Toy) -> None:
    env = SketchCanvasEnv(render_mode="ansi", **toy.kwargs)  # type: ignore[arg-type]
    env.reset(options={"index": 4})
    name = env.sketch_ids[4]
    assert env.render() == f"sketch {name}: no canvas chosen yet"
    _, reward, _, _, info = env.step(2)
    line = env.render()
    assert isinstance(line, str)
    assert "\n" not in line
    for part in (
        f"sketch {name}:", "canvas 64x64", f"rank {info['rank']} of 12", "0.0160 GFLOPs",
        f"reward {reward:+.4f}", f"regret {info['regret']:.4f}",
    ):  # fmt: skip
        assert part in line
    assert " ms" not in line
    env.reset(options={"index": 4})
    assert "no canvas chosen yet" in str(env.render())


def test_the_line_names_the_cost_that_was_charged(toy: Toy) -> None:
    env = SketchCanvasEnv(render_mode="ansi", cost="latency", **toy.kwargs)  # type: ignore[arg-type]
    env.reset(options={"index": 4})
    env.step(2)
    assert "0.0160 GFLOPs, 9.00 ms, reward" in str(env.render())


def test_the_line_has_the_episodes_own_tradeoff(toy: Toy) -> None:
    env = SketchCanvasEnv(render_mode="ansi", preferences=(0.0, 1.0), **toy.kwargs)  # type: ignore[arg-type]
    # At a tradeoff of 1 the smallest canvas is the best for every sketch, at the argument's 0.2 it is not.
    for index in range(10):
        env.reset(options={"index": index, "tradeoff": 1.0})
        info = env.step(2)[4]
        assert f"tradeoff 1.0000, reward {-16 / 63:+.4f}, regret {info['regret']:.4f} (best 16x16)" in str(env.render())


def test_rendering_needs_a_mode_and_a_sketch(toy: Toy, env: SketchCanvasEnv) -> None:
    with pytest.raises(ResetNeeded):
        env.render()
    silent = SketchCanvasEnv(**toy.kwargs)  # type: ignore[arg-type]
    silent.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert silent.render() is None
