"""The report of a comparison: one self-contained HTML page, and the same as Markdown.

The stored selectors are evaluated again (`stored.reread`); the provenance names what they were trained on and what they
were evaluated on.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from agents.algorithms.common.training import pinned_threads
from agents.evaluation.options import Options
from agents.experiments import stored, sweep
from agents.experiments.results import CompareResult
from agents.experiments.runs import TRAIN_SPLIT
from agents.reports import comparison, document, plots, sweeps, tables
from agents.reports.document import Cards, Document, Picture, Section, Text, Verbatim
from agents.reports.tables import Table
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.storage.files import atomic_write, write_text
from sketchcanvas_env.tasks.canvas import Task

REGRETS = 8
"""Number of sketches with large regret that are shown."""

SEEN = 0.005
"""Smallest share of an option that is shown."""

SIDE = 128
"""Side of these sketches and of their photos' squares, pixels."""

ORACLE = "oracle"

Choices = Mapping[str, npt.NDArray[np.int64]]
"""Column of the option that each agent takes for each sketch, (seeds, N)."""

READING = (
    "acc@1 is the share of sketches whose true photo comes first. GFLOPs (2 x MAC) per query include the selector's.",
    "Tossing a coin between two fixed canvases needs no selector and reaches every point of the hull of the fixed "
    "canvases. Hull gain is what a policy adds to that at the same cost, in points of acc@1: only a gain whose "
    "interval lies above zero speaks for the selector.",
    "Gap closed is a share of the way, by reward, from the best fixed canvas (0) to the oracle (1), which takes the "
    "best outcome of every sketch. Where agents are compared with each other, the selector's FLOPs are charged like "
    "the student's (not where the reward charges milliseconds).",
    "Brackets are 95 % bootstrap intervals: over photos, all sketches of a photo together, given the trained "
    "selectors; or, where it says so, over seeds.",
)


@dataclass(frozen=True)
class Regret:
    """A sketch on which agents earn much less than the oracle.

    Attributes:
        row: of the split's task.
        regret: reward of the oracle minus the agents' mean reward (each the mean over its seeds).
        chosen: column of the option that each agent takes in most of its seeds (ties: the first), and the oracle's.
    """

    row: int
    regret: float
    chosen: dict[str, int]


def write(folder: str | Path, sweep_folder: str | Path | None, out: str | Path) -> tuple[Path, ...]:
    """Write the report of a stored comparison.

    Args:
        folder: of the comparison.
        sweep_folder: of a sweep to show as well, None for none.
        out: the HTML file; the Markdown goes beside it, the pictures into a folder beside it (the HTML has copies).

    Returns:
        The files: HTML, Markdown, pictures.

    Raises:
        FileNotFoundError: no result in a folder, or a run is missing.
        ValueError: a damaged file, or an `out` that does not end in .html or .htm.
    """
    page = Path(out)
    if page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the report is an HTML page: {page} should end in .html")
    result = stored.reread(folder)
    swept = None if sweep_folder is None else sweep.reread(sweep_folder)
    pictures = page.with_name(f"{page.stem}-pictures")
    task = result.config.env.task(result.config.split)
    assert task.lookup is not None  # else there would be no result
    options = result.config.env.options(result.config.split)
    choices = choices_of(result)
    sections = [
        _question(result, task.lookup.table),
        _policies(result, pictures),
        _learning(result, pictures),
        *([] if swept is None else [_tradeoff(swept, pictures)]),
        _levels(canvas_shares(choices, options, task.lookup.table.level), options, task.lookup.table, pictures),
        _regrets(largest_regrets(choices, options), len(choices), task, options, task.lookup.table, pictures),
        _provenance(result, folder, task),
    ]
    title = f"SketchCanvas: {len(choices)} agents on {task.dataset.name}, split {task.split}"
    content = Document(title, tuple(sections))
    markdown = page.with_suffix(".md")
    write_text(page, document.as_html(content))
    write_text(markdown, document.as_markdown(content, page.parent))
    return (page, markdown, *document.pictures(content))


def choices_of(result: CompareResult) -> dict[str, npt.NDArray[np.int64]]:
    """The option that every run of each agent takes for each sketch of the reported split, (seeds, N) int64 columns."""
    with pinned_threads(result.config.threads):
        return {
            agent: np.stack([run.decide(result.config.split) for run in of_agent])
            for agent, of_agent in result.trained.items()
        }


def canvas_shares(
    choices: Choices, options: Options, level: npt.NDArray[np.int8]
) -> dict[str, npt.NDArray[np.float64]]:
    """The share of the sketches of each group that gets each option.

    Args:
        choices: of the agents.
        options: the M options.
        level: (N,) number of each sketch's group (`OutcomeTable.group_names`).

    Returns:
        (L, M) of each agent (mean over its seeds) and of the oracle; numbers rise, rows add up to 1.
    """
    policies = {
        agent: np.mean([options.probabilities(one) for one in seeds], axis=0) for agent, seeds in choices.items()
    }
    policies[ORACLE] = options.probabilities(options.oracle)
    return {
        name: np.stack([probabilities[level == one].mean(axis=0) for one in np.unique(level)])
        for name, probabilities in policies.items()
    }


def largest_regrets(choices: Choices, options: Options, count: int = REGRETS) -> tuple[Regret, ...]:
    """The sketches with the largest regret, averaged over agents; ties go to the first rows.

    Args:
        choices: of the agents.
        options: the options.
        count: most sketches to return.
    """
    rows = np.arange(len(options))
    # Rounded, so that ties do not depend on the order of summation.
    regret = np.mean([options.regret[rows, seeds].mean(axis=0) for seeds in choices.values()], axis=0).round(12)
    return tuple(
        Regret(
            row=row,
            regret=float(regret[row]),
            chosen={
                **{agent: int(np.bincount(seeds[:, row]).argmax()) for agent, seeds in choices.items()},
                ORACLE: int(options.oracle[row]),
            },
        )
        for row in np.argsort(-regret, kind="stable")[:count].tolist()
    )


def _question(result: CompareResult, table: OutcomeTable) -> Section:
    config, first = result.config, result.rows[0].evaluation
    env = config.env
    charged = "FLOPs" if env.cost == "flops" else "milliseconds"
    answers = {"last": "the last look's", "fused": "that of all looks, fused"}
    facts = {
        "data set": env.dataset,
        "split that is reported": f"{config.split}: {first.n_sketches} sketches of {first.n_photos} photos",
        "gallery": f"{table.gallery_size[config.split]} photos",
        "student": table.student,
        "canvases on offer": ", ".join(map(str, table.canvases)),
        "looks": (
            f"any number; the ranking that counts is {answers[env.to_json()['ranking']]}" if env.looks_again else "one"
        ),
        "tradeoff": f"{env.tradeoff:g} (weight of cost, in {charged}, against accuracy)",
        "agents": ", ".join(config.algorithms),
        "training": f"split {TRAIN_SPLIT}, {config.total_steps:,} steps a run, {config.seeds} seeds each",
    }
    return Section(
        "What was compared, and what came out",
        (
            Text(comparison.summary(result)),
            Text(tuple(comparison.finding(result).splitlines())),
            Table("the comparison", ("what", "value"), tuple(facts.items()), words=True),
            Text(READING),
        ),
    )


def _policies(result: CompareResult, pictures: Path) -> Section:
    agents = ", ".join(verdict.name for verdict in result.verdicts)
    return Section(
        "Policies",
        (
            comparison.policy_table(result, coin_tosses=True),
            Picture(
                plots.accuracy_against_gflops(result, pictures / "accuracy-gflops.png"),
                f"acc@1 against mean GFLOPs per query: the fixed canvases and their hull, the front of all outcomes "
                f"known, the oracle, and the agents {agents}. The table of policies has the numbers.",
                "Only what lies above the grey line is worth a selector. Bars: 95 % over photos; small dots: seeds.",
            ),
            comparison.verdict_table(result),
        ),
    )


def _learning(result: CompareResult, pictures: Path) -> Section:
    agents = ", ".join(verdict.name for verdict in result.verdicts)
    curves = Picture(
        plots.learning_curves(result, pictures / "learning-curves.png"),
        f"Mean reward on val against environment steps and against seconds of training, of {agents}, and the best "
        "fixed canvas as a level line.",
        "Means over seeds, bands from the worst seed to the best. Steps are the same for all, time is not.",
    )
    if all(verdict.profile is None for verdict in result.verdicts):
        none = Text(("With one seed each, or no gap to close, nothing can be said about other seeds.",))
        return Section("Learning curves and seeds", (curves, none))
    profiles = Picture(
        plots.profiles(result, pictures / "profiles.png"),
        f"Performance profiles of {agents}: the share of seeds that close more than so much of the gap.",
        "Share of an agent's seeds that close more than so much of the gap; bands: 95 % over seeds.",
    )
    return Section("Learning curves and seeds", (curves, profiles, comparison.improvement_table(result)))


def _tradeoff(swept: sweep.SweepResult, pictures: Path) -> Section:
    agents = ", ".join(front.agent for front in swept.fronts)
    return Section(
        "The trade-off",
        (
            Picture(
                plots.pareto(swept, pictures / "pareto.png"),
                f"acc@1 against mean GFLOPs per query at several tradeoffs, a line for each of {agents}.",
                "Each line joins an agent's tradeoffs.",
            ),
            sweeps.front_table(swept),
            sweeps.point_table(swept),
        ),
    )


def _levels(
    shares: Mapping[str, npt.NDArray[np.float64]], options: Options, table: OutcomeTable, pictures: Path
) -> Section:
    groups = list(table.group_names.values())
    # All canvases, and those ways to look again that some policy takes often enough.
    often = np.max([share.max(axis=0) for share in shares.values()], axis=0) >= SEEN
    shown = np.flatnonzero(often | (np.arange(len(options.names)) < options.n_fixed))
    names = [options.names[column] for column in shown]
    cells = tuple(
        (name, *(tables.share_text(dict(zip(options.names, of_level, strict=True))) for of_level in share.tolist()))
        for name, share in shares.items()
    )
    return Section(
        "Canvases by condition",
        (
            Picture(
                plots.canvas_shares(
                    {name: share[:, shown] for name, share in shares.items()},
                    groups,
                    names,
                    pictures / "canvas-shares.png",
                ),
                f"Stacked bars of canvas shares under the conditions {', '.join(groups)}, a panel for each of "
                f"{', '.join(shares)}. The table below has the numbers.",
                "Agents: mean over seeds. Where all bars of a panel are alike the condition makes no difference.",
            ),
            Table(
                "share of the sketches that each canvas gets, %",
                ("policy", *groups),
                cells,
                "canvas:share; shares below half a percent are left out.",
                frozenset({len(cells) - 1}),
            ),
        ),
    )


def _regrets(
    found: Sequence[Regret], agents: int, task: Task, options: Options, table: OutcomeTable, pictures: Path
) -> Section:
    cards = []
    for place, one in enumerate(found, start=1):
        # All canvases, and those ways to look again that some policy takes.
        shown = sorted({*range(options.n_fixed), *one.chosen.values()})
        group = table.group_names[int(table.level[one.row])]
        title = f"{place}. {table.sketch_ids[one.row]}, {group}: regret {one.regret:.4f}"
        cells = tuple(
            (
                name,
                str(options.ranks[one.row, column]),
                ", ".join(who for who, taken in one.chosen.items() if taken == column) or "-",
            )
            for column, name in enumerate(options.names)
            if column in shown
        )
        picture = Picture(
            _sketch_beside_photo(task, one.row, pictures / f"regret-{place}.png"),
            f"Sketch {table.sketch_ids[one.row]} beside its photo {table.photo_ids[one.row]}",
        )
        best = frozenset({shown.index(one.chosen[ORACLE])})
        cards.append((picture, Table(title, ("canvas", "rank", "chosen by"), cells, strong=best)))
    return Section(
        "Sketches with the largest regret",
        (
            Text(
                (
                    f"The {len(cards)} sketches with the largest difference between the reward of the oracle and that "
                    f"of the agents (mean over {agents} agents and their seeds). An agent is named at the canvas that "
                    f"most of its seeds choose; rank is that of the true photo among {table.gallery_size[task.split]}.",
                )
            ),
            Cards(tuple(cards)),
        ),
    )


def _sketch_beside_photo(task: Task, row: int, path: Path) -> Path:
    drawing = Image.fromarray(rasterise(task.sketch(row), SIDE)).convert("RGB")
    photo = Image.fromarray(task.dataset.photo(str(task.photo_ids[row])))
    photo.thumbnail((SIDE, SIDE))
    both = Image.new("RGB", (2 * SIDE + SIDE // 16, SIDE), "white")
    both.paste(drawing, (0, 0))
    both.paste(photo, (both.width - SIDE + (SIDE - photo.width) // 2, (SIDE - photo.height) // 2))
    with atomic_write(path) as temporary:
        both.save(temporary, format="png")
    return path


def _provenance(result: CompareResult, folder: str | Path, task: Task) -> Section:
    then, now = _flat(stored.read_result(folder)["provenance"]), _flat(result.provenance)
    entries = tuple((name, then.get(name, "-"), now.get(name, "-")) for name in {**then, **now})
    env = _flat(result.config.to_json()["env"])
    common = {name: value for name, value in _flat(result.config.to_json()).items() if not name.startswith("env ")}
    del common["algorithms"]
    settings = tuple(
        (agent, run.config.algorithm, run.config.selector, _settings(run.config.to_json()))
        for agent, (run, *_) in result.trained.items()
    )
    data = "\n\n".join(text for text in (task.dataset.licence.strip(), task.dataset.citation.strip()) if text)
    return Section(
        "Provenance",
        (
            Text(("This command evaluates the stored selectors again and compares every stored number:",)),
            Verbatim(shlex.join(["sketchcanvas", "report", "--compare", str(folder), "--validate"])),
            Table("where the numbers come from", ("what", "the comparison", "this page"), entries, words=True),
            Table("the environment", ("setting", "value"), tuple(env.items()), words=True),
            Table("the comparison's settings", ("setting", "value"), tuple(common.items()), words=True),
            Table("settings of the runs", ("agent", "algorithm", "network", "settings"), settings, words=True),
            Text(("Sketches and photos on this page:",)),
            Verbatim(data),
        ),
    )


def _settings(config: Mapping[str, Any]) -> str:
    """A run's settings, without the environment, the seed and what its row names already."""
    elsewhere = {"env", "seed", "total_steps", "threads", "algorithm", "selector"}
    return ", ".join(f"{name} {_value(value)}" for name, value in config.items() if name not in elsewhere)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level, names joined by a space."""
    flat: dict[str, str] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        else:
            flat[prefix + name] = _value(value)
    return flat


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    return "not set" if value is None else str(value)
