"""Pictures of results, as PNG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from agents.experiments.results import PROFILE_THRESHOLDS, CompareResult
from agents.experiments.sweep import SweepResult
from agents.studies.ceiling import Ceiling
from agents.studies.pilot import PilotResult
from sketchcanvas_env.data import SketchDataset
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.storage.files import atomic_write

MAX_SKETCHES = 10
"""Sketches of one photo on a contact sheet."""


def accuracy_against_gflops(result: CompareResult, path: str | Path) -> Path:
    """Plot acc@1 against mean GFLOPs per query, of every policy.

    Grey: the fixed canvases and the hull of their mixtures, which a selector must beat. Dashed: the front with all
    outcomes known. Agents have their 95 % interval; small dots are their seeds.
    """
    figure, axes = _figure(10.0, 5.5)
    _plot_limits(axes, result)
    markers = {"fixed": ("o", "0.25"), "random": ("x", "0.25"), "oracle": ("*", "tab:green")}
    # Rules are named beside the axes, like agents: there is no room near the hull.
    crosses = cycle("+xX")
    # Hollow, of different size and shape, so that agents with the same choices stay visible.
    looks = cycle(
        (
            ("tab:blue", "D", 13),
            ("tab:orange", "s", 8),
            ("tab:red", "o", 11),
            ("tab:purple", "^", 9),
            ("tab:brown", "v", 7),
            ("tab:pink", "p", 10),
            ("tab:olive", "h", 12),
            ("tab:cyan", "<", 9),
            ("tab:gray", ">", 8),
            ("navy", "P", 10),
            ("darkgreen", "X", 8),
        )
    )
    for row in result.rows:
        e = row.evaluation
        if row.kind in markers:
            marker, colour = markers[row.kind]
            axes.plot(e.gflops, 100 * e.acc1, marker, color=colour, markersize=9 if row.kind == "oracle" else 7)
            axes.annotate(row.name, (e.gflops, 100 * e.acc1), (6, -11), textcoords="offset points", fontsize=8)
        elif row.kind in ("rule", "reference"):
            axes.plot(e.gflops, 100 * e.acc1, next(crosses), color="black", markersize=10, label=row.name, zorder=5)
        elif row.kind in ("agent", "chosen"):
            colour, marker, size = next(looks)
            below, above = 100 * (e.acc1 - e.acc1_interval[0]), 100 * (e.acc1_interval[1] - e.acc1)
            axes.errorbar(
                e.gflops,
                100 * e.acc1,
                [[below], [above]],
                fmt=marker,
                elinewidth=0.8,
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
    first = result.rows[0].evaluation
    _label_costs(
        axes,
        [row.evaluation.gflops for row in result.rows if row.kind == "fixed"],
        f"{result.config.env.dataset} {result.config.split}: {first.n_sketches} sketches of {first.n_photos} photos",
    )
    axes.margins(x=0.12)
    # Beside the axes: many agents would hide the canvases.
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return _save(figure, path)


TOLD_ALL = ("exact_pg", "cost_sensitive", "backward_induction")
"""Algorithms that learn from the rewards of all canvases; the others learn from that of their choice."""


def ranking(result: CompareResult, path: str | Path) -> Path:
    """Plot gap closed and hull gain of every policy, best first, with 95 % intervals over photos.

    Agents that learn from one reward a sketch are blue, those that learn from all orange, references black; small dots
    are seeds. Which agents differ is said by the table of pairs, not here.
    """
    rows = [row for row in result.rows if row.kind in ("agent", "reference", "rule")]
    rows.sort(key=lambda row: row.evaluation.gap_closed)
    figure, pair = _figure(10.0, 1.4 + 0.3 * len(rows), grid=(1, 2))
    left, right = pair.ravel()
    shown: dict[str, tuple[str, str]] = {}
    for place, row in enumerate(rows):
        if row.kind != "agent":
            kind, colour, marker = "reference", "black", "D"
        elif row.name.partition("/")[0] in TOLD_ALL:
            kind, colour, marker = "learns from all rewards", "tab:orange", "o"
        else:
            kind, colour, marker = "learns from one reward a sketch", "tab:blue", "o"
        shown[kind] = colour, marker
        for axes, name, scale in ((left, "gap_closed", 1.0), (right, "hull_gain", 100.0)):
            value, ends = getattr(row.evaluation, name), getattr(row.evaluation, f"{name}_interval")
            axes.plot([scale * end for end in ends], [place, place], "-", color=colour, linewidth=1.6)
            axes.plot(scale * value, place, marker, color=colour, markersize=6)
            seeds = [scale * getattr(seed, name) for seed in row.seeds]
            axes.plot(seeds, [place - 0.25] * len(seeds), ".", color=colour, alpha=0.45, markersize=4)
    for axes, label in (
        (left, "gap closed: 0 best fixed canvas, 1 oracle"),
        (right, "points of acc@1 above mixing fixed canvases at the same cost"),
    ):
        axes.axvline(0.0, color="0.4", linewidth=1)
        axes.set_xlabel(label, fontsize=9)
        axes.grid(axis="x", alpha=0.25)
    left.set_yticks(range(len(rows)), [row.name for row in rows])
    right.set_yticks(range(len(rows)), [""] * len(rows))
    for name, (colour, marker) in shown.items():
        right.plot([], [], marker, color=colour, label=name)
    figure.legend(loc="outside lower center", ncols=len(shown), fontsize=8)
    first, config = result.rows[0].evaluation, result.config
    figure.suptitle(
        f"{config.env.dataset}, {config.split}: {first.n_sketches:,} sketches of {first.n_photos} photos, "
        f"{config.seeds} seeds x {config.total_steps:,} steps",
        fontsize=10,
    )
    return _save(figure, path)


def learning_curves(result: CompareResult, path: str | Path) -> Path:
    """Plot the mean reward on val in the course of training, against steps and against wall-clock time.

    Lines are means over seeds, bands reach from the worst seed to the best. Times are the median over seeds: the first
    run of a process includes its warm-up.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    figure, pair = _figure(11.0, 4.6, grid=(1, 2))
    axes = pair.ravel()
    styles = ("-", "--", ":", "-.")
    for index, row in enumerate(row for row in result.rows if row.kind == "agent" and row.curves):
        reward = np.array([[point["reward"] for point in curve] for curve in row.curves])
        for ax, name in zip(axes, ("steps", "seconds"), strict=True):
            x = np.median([[point[name] for point in curve] for curve in row.curves], axis=0)
            (line,) = ax.plot(x, reward.mean(axis=0), styles[index // 10 % 4], linewidth=1.4, label=row.name)
            ax.fill_between(x, reward.min(axis=0), reward.max(axis=0), color=line.get_color(), alpha=0.08, linewidth=0)
    val = result.config.env.options("val")
    best = float(val.rewards[:, val.best_fixed()].mean())
    for ax, label in zip(axes, ("environment steps", "seconds of training, one thread"), strict=True):
        ax.axhline(best, color="0.4", linewidth=1, linestyle=(0, (1, 1)), label="best fixed canvas")
        ax.set_xlabel(label)
        ax.grid(alpha=0.25)
    axes[0].xaxis.set_major_locator(MaxNLocator(6))
    axes[1].set_xscale("log")
    # Matplotlib's default labels overlap within a decade.
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[1].xaxis.set_major_formatter("{x:g}")
    axes[1].minorticks_off()
    axes[0].set_ylabel("mean reward on val")
    axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return _save(figure, path)


def profiles(result: CompareResult, path: str | Path) -> Path:
    """Plot performance profiles: the share of each agent's seeds that close more than a given part of the gap."""
    figure, axes = _figure(8.5, 4.6)
    styles = ("-", "--", ":", "-.")
    thresholds = np.array(PROFILE_THRESHOLDS)
    for index, verdict in enumerate(one for one in result.verdicts if one.profile is not None):
        assert verdict.profile is not None
        (line,) = axes.step(
            thresholds, verdict.profile.share, styles[index // 10 % 4], where="post", linewidth=1.4, label=verdict.name
        )
        axes.fill_between(
            thresholds, verdict.profile.low, verdict.profile.high, step="post", color=line.get_color(), alpha=0.08
        )
    axes.set_xlabel("gap closed (0: best fixed canvas, 1: oracle)")
    axes.set_ylabel("share of seeds above")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return _save(figure, path)


def pareto(result: SweepResult, path: str | Path) -> Path:
    """Plot the fronts of a sweep: acc@1 against mean GFLOPs per query, a point for each tradeoff.

    Steps show the best accuracy within a budget; points between two tradeoffs need a coin toss.
    """
    figure, axes = _figure(8.5, 5.2)
    _plot_limits(axes, result)
    for one in result.candidates:
        if one.canvas is not None:
            axes.plot(one.gflops, 100 * one.acc1, "o", color="0.25", markersize=6)
            axes.annotate(
                str(one.canvas), (one.gflops, 100 * one.acc1), (6, -11), textcoords="offset points", fontsize=8
            )
    looks = cycle(
        zip("Ds^vpP", ("tab:blue", "tab:orange", "tab:red", "tab:purple", "tab:brown", "tab:pink"), strict=True)
    )
    for agent in dict.fromkeys(point.agent for point in result.points):
        of_agent = sorted((p.evaluation for p in result.points if p.agent == agent), key=lambda one: one.gflops)
        marker, colour = ("*", "tab:green") if agent == "oracle" else next(looks)
        axes.plot(
            [one.gflops for one in of_agent],
            [100 * one.acc1 for one in of_agent],
            linewidth=0.8,
            markerfacecolor="none",
            markersize=8,
            label=agent,
            marker=marker,
            color=colour,
            drawstyle="steps-post",
        )
    compare = result.config.compare
    spread = f"tradeoffs {', '.join(f'{tradeoff:g}' for tradeoff in result.config.tradeoffs)}"
    fixed = [one.gflops for one in result.candidates if one.canvas is not None]
    _label_costs(axes, fixed, f"{compare.env.dataset} {compare.split}: {spread}")
    axes.legend(loc="lower right", fontsize=9)
    return _save(figure, path)


def canvas_shares(
    shares: Mapping[str, npt.NDArray[np.float64]], groups: Sequence[str], canvases: Sequence[str], path: str | Path
) -> Path:
    """Plot the share of each canvas under each condition, as stacked bars, a panel for each policy.

    Args:
        shares: (L, K) of each policy; the rows add up to 1.
        groups: names of the L conditions or abstraction levels.
        canvases: names of the K canvases or, in a cascade, of the ways to end.
        path: of the PNG file.
    """
    from matplotlib import colormaps

    wide = min(4, len(shares))
    tall = -(-len(shares) // wide)
    figure, grid = _figure(2.3 * wide + 1.2, 1.9 * tall + 0.6, grid=(tall, wide))
    # Light for the smallest canvas, dark for the largest, so that it can be read in grey.
    colours = colormaps["viridis_r"](np.linspace(0.05, 0.95, len(canvases)))
    panels = np.atleast_1d(grid).ravel()
    bars: list[Any] = []
    short = [name.removeprefix("level ") for name in groups]
    for panel in panels[len(shares) :]:
        panel.set_axis_off()
    for panel, (name, share) in zip(panels, shares.items(), strict=False):
        below = np.zeros(len(groups))
        bars = []
        for column in range(len(canvases)):
            part = 100 * share[:, column]
            # Hatched: looked again.
            again = {} if canvases[column].isdecimal() else {"hatch": "///", "edgecolor": "0.9", "linewidth": 0}
            bars.append(panel.bar(short, part, bottom=below, color=colours[column], **again))
            below = below + part
        panel.set_title(name, fontsize=9)
        panel.set_ylim(0, 100)
        panel.tick_params(labelsize=8)
    figure.supxlabel("condition" if short == list(groups) else "abstraction level", fontsize=9)
    figure.supylabel("share of the sketches, %", fontsize=9)
    figure.legend(bars, list(canvases), title="canvas", loc="outside right upper", fontsize=8)
    return _save(figure, path)


def some_photos(dataset: SketchDataset, split: str, photos: int, seed: int = 0) -> list[str]:
    """Ids of randomly drawn photos of a split that have sketches.

    Raises:
        ValueError: unknown split, or one without sketches; the message names those that have some.
    """
    ids = list(dict.fromkeys(dataset.photo_ids[dataset.some_indices(split)].tolist()))
    return [ids[i] for i in np.random.RandomState(seed).permutation(len(ids))[:photos]]


def contact_sheet(dataset: SketchDataset, split: str, chosen: Sequence[str], path: str | Path) -> Path:
    """Draw photos with their first `MAX_SKETCHES` sketches of a split, one photo a row, in two columns.

    Args:
        dataset: photos and sketches.
        split: whose sketches.
        chosen: ids of photos with sketches in that split, row by row; the second half is the right column.
        path: the PNG file.
    """
    rows = dataset.some_indices(split)
    owned = {photo: rows[dataset.photo_ids[rows] == photo][:MAX_SKETCHES] for photo in chosen}
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
    """Plot the pilot study: acc@1 against the canvas, for sketches, each of their levels, and photos as queries.

    Bands are 95 % intervals over photos; levels have none, to keep the picture readable.
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


def ceiling(result: Ceiling, path: str | Path) -> Path:
    """Plot the hull gain of every policy with its interval, a colour for each tradeoff."""
    figure, axes = _figure(9.0, 5.5)
    dials = list(result.policies[0].evaluations)
    for number, dial in enumerate(dials):
        rows = [policy.evaluations[dial] for policy in result.policies]
        gain = 100 * np.array([e.hull_gain for e in rows])
        low, high = 100 * np.array([e.hull_gain_interval for e in rows]).T
        place = np.arange(len(rows)) + (number - (len(dials) - 1) / 2) * 0.15
        # The interval is biased against the policy (see agents.evaluation.bootstrap), and may exclude the value.
        axes.hlines(place, low, high, color=f"C{number}", linewidth=1.5)
        axes.plot(gain, place, "o", color=f"C{number}", markersize=5, label=f"tradeoff {dial}")
    axes.axvline(0.0, color="0.4", linewidth=1)
    axes.set_yticks(range(len(result.policies)), [policy.knows for policy in result.policies])
    axes.invert_yaxis()
    axes.set_xlabel("points of acc@1 above the hull of the fixed canvases, 95 % interval over photos")
    axes.set_title(
        f"What a policy knows, and what it earns: {result.student}, {result.dataset} {result.split}", fontsize=10
    )
    axes.grid(alpha=0.25, axis="x")
    axes.legend(loc="lower right", fontsize=9)
    return _save(figure, path)


def _label_costs(axes: Any, fixed: Sequence[float], title: str) -> None:
    """Label accuracy and cost, with ticks at the GFLOPs of the fixed canvases instead of powers of ten."""
    axes.set_xscale("log")
    axes.set_xticks(fixed, [f"{tick:.3g}" for tick in fixed])
    axes.minorticks_off()
    axes.set_xlabel("mean GFLOPs per query (2 x MAC), selector included")
    axes.set_ylabel("acc@1, %")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)


def _plot_limits(axes: Any, result: CompareResult | SweepResult) -> None:
    """Plot the hull of the fixed canvases, which selectors must beat, and the front with all outcomes known."""
    for limit, style, label in (
        (result.hull, "-", "hull of the fixed canvases"),
        (result.front, "--", "all outcomes known"),
    ):
        # Mixtures lie on a straight line between their ends, which is curved on a logarithmic axis.
        x = np.geomspace(limit[0, 0], limit[-1, 0], 200)
        axes.plot(x / 1e9, 100 * np.interp(x, limit[:, 0], limit[:, 1]), style, color="0.45", label=label)


def _figure(width: float, height: float, grid: tuple[int, int] = (1, 1)) -> tuple[Any, Any]:
    # The object interface: no global state, no window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(*grid, squeeze=grid == (1, 1))


def _save(figure: Any, path: str | Path) -> Path:
    drawn = BytesIO()
    figure.savefig(drawn, dpi=120, format="png", metadata={"Software": None})
    with atomic_write(path) as temporary, Image.open(drawn) as picture:
        # A palette of 256 colours halves the file.
        picture.convert("RGB").quantize(256).save(temporary, format="png", optimize=True)
    return Path(path)
