"""Pictures of results, as PNG files."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from agents.compare import CompareResult
from agents.student_report import PilotResult
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.files import atomic_write
from sketchcanvas_env.raster import rasterise


def accuracy_against_gflops(result: CompareResult, path: str | Path) -> Path:
    """Where every policy lies: acc@1 against mean GFLOPs per query.

    Grey: each fixed canvas and the hull of their mixtures, which a selector must beat. Dashed: the front that
    knowing all outcomes would reach. Agents carry their 95 % interval; small dots are their seeds.
    """
    figure, axes = _figure(8.0, 5.5)
    hull, front = result.hull, result.front
    # A mixture costs a straight line between its ends: curved on a logarithmic axis.
    x = np.geomspace(hull[0, 0], hull[-1, 0], 200)
    axes.plot(x / 1e9, 100 * np.interp(x, hull[:, 0], hull[:, 1]), color="0.45", label="hull of the fixed canvases")
    x = np.geomspace(front[0, 0], front[-1, 0], 200)
    axes.plot(x / 1e9, 100 * np.interp(x, front[:, 0], front[:, 1]), "--", color="0.45", label="all outcomes known")
    markers = {"fixed": ("o", "0.25"), "random": ("x", "0.25"), "oracle": ("*", "tab:green")}
    # Hollow, of falling size and different shape: agents that make the same choices stay visible one in another.
    looks = cycle(
        (
            ("tab:blue", "D", 13),
            ("tab:orange", "s", 8),
            ("tab:red", "o", 11),
            ("tab:purple", "^", 9),
            ("tab:brown", "v", 7),
            ("tab:pink", "p", 10),
        )
    )
    for row in result.rows:
        e = row.evaluation
        if row.kind in markers:
            marker, colour = markers[row.kind]
            axes.plot(e.gflops, 100 * e.acc1, marker, color=colour, markersize=9 if row.kind == "oracle" else 7)
            axes.annotate(row.name, (e.gflops, 100 * e.acc1), (6, -11), textcoords="offset points", fontsize=8)
        elif row.kind == "agent":
            colour, marker, size = next(looks)
            below, above = 100 * (e.acc1 - e.acc1_interval[0]), 100 * (e.acc1_interval[1] - e.acc1)
            axes.errorbar(
                e.gflops,
                100 * e.acc1,
                [[below], [above]],
                fmt=marker,
                color=colour,
                markersize=size,
                markerfacecolor="none",
                markeredgewidth=1.8,
                capsize=size / 2,
                label=row.name,
                zorder=3,
            )
            axes.scatter(
                [s.gflops for s in row.seeds],
                [100 * s.acc1 for s in row.seeds],
                s=12,
                color=colour,
                alpha=0.6,
                zorder=4,
            )
    axes.set_xscale("log")
    # The fixed canvases are what a reader looks for; powers of ten say nothing here.
    ticks = [row.evaluation.gflops for row in result.rows if row.kind == "fixed"]
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
    axes.margins(x=0.12)
    axes.set_xlabel("mean GFLOPs per query (2 x MAC), selector included")
    axes.set_ylabel("acc@1, %")
    first = result.rows[0].evaluation
    axes.set_title(
        f"{result.config.env.dataset} {result.config.split}: {first.n_sketches} sketches of {first.n_photos} photos",
        fontsize=10,
    )
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9)
    return _save(figure, path)


def contact_sheet(dataset: SketchDataset, split: str, photos: int, path: str | Path, seed: int = 0) -> Path:
    """Some photos of a split with all their sketches, one photo a row, two rows abreast."""
    rows = dataset.indices(split)
    ids = list(dict.fromkeys(dataset.photo_ids[rows].tolist()))
    chosen = [ids[i] for i in np.random.RandomState(seed).permutation(len(ids))[:photos]]
    owned = {photo: rows[dataset.photo_ids[rows] == photo] for photo in chosen}
    width = 1 + max(len(sketches) for sketches in owned.values())
    height = -(-len(chosen) // 2)
    figure, axes = _figure(1.1 * 2 * width, 1.1 * height, grid=(height, 2 * width))
    for cell in axes.ravel():
        cell.set_axis_off()
    for index, photo in enumerate(chosen):
        line, start = axes[index % height], index // height * width
        line[start].imshow(dataset.photo(photo))
        for k, row in enumerate(owned[photo].tolist()):
            line[start + 1 + k].imshow(rasterise(dataset.sketch(row), 128), cmap="gray", vmin=0, vmax=255)
    return _save(figure, path)


def accuracy_against_canvas(result: PilotResult, path: str | Path) -> Path:
    """The pilot study: acc@1 against the canvas, for sketches, for each of their levels, and for photos as queries.

    Bands are 95 % intervals over photos; the levels have none, for the sake of the eye.
    """
    figure, axes = _figure(9.0, 4.8)
    sides = result.row.canvases
    shades = cycle(("tab:cyan", "tab:olive", "tab:orange", "tab:red"))
    for curve in result.curves:
        values = [100 * value for value, _ in curve.acc1.values()]
        if curve.queries in ("sketches", "photos"):
            colour, marker = ("tab:blue", "o") if curve.queries == "sketches" else ("tab:green", "s")
            low, high = zip(*((100 * low, 100 * high) for _, (low, high) in curve.acc1.values()), strict=True)
            axes.fill_between(sides, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(sides, values, marker=marker, color=colour, linewidth=2, label=f"{curve.queries} ({curve.n})")
        else:
            axes.plot(sides, values, "--", color=next(shades), linewidth=1, label=f"{curve.queries} ({curve.n})")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sides, [str(side) for side in sides])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("canvas side, pixels")
    axes.set_ylabel("acc@1, %")
    row = result.row
    axes.set_title(f"{row.name} on {row.dataset} {row.split}, gallery of {row.gallery} photos", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)  # the curves leave no corner free
    return _save(figure, path)


def _figure(width: float, height: float, grid: tuple[int, int] = (1, 1)) -> tuple[Any, Any]:
    # The object interface with its own canvas: no global state, no window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(*grid, squeeze=grid == (1, 1))


def _save(figure: Any, path: str | Path) -> Path:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png", metadata={"Software": None})
    return Path(path)
