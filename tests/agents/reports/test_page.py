"""The report page: it shows the numbers of the stored comparison and the right sketches, and needs no other file."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agents.algorithms import registry as algorithms
from agents.evaluation.options import Options
from agents.evaluation.setting import EnvConfig
from agents.experiments import compare, pack, sweep
from agents.experiments.results import CompareResult
from agents.experiments.settings import CompareConfig
from agents.experiments.sweep import SweepConfig, SweepResult
from agents.reports import comparison as report
from agents.reports import page
from agents.selectors import policy
from sketchcanvas_env import data
from sketchcanvas_env.sketches.raster import rasterise
from sketchcanvas_env.storage.files import write_json
from sketchcanvas_env.tasks.canvas import Task
from tests.agents.web.pages import Page
from tests.helpers import TOY, TOY_CANVASES, toy_dataset, toy_photo, toy_table

AGENTS = ("reinforce", "ppo")
EARLIER = "an earlier commit"


def quick(env: EnvConfig, **changes: Any) -> CompareConfig:
    settings: dict[str, Any] = {
        "algorithms": AGENTS,
        "seeds": 2,
        "total_steps": 512,
        "selector": "stats",
        "split": "test",
        "resamples": 50,
    }
    return CompareConfig(env=env, **{**settings, **changes})


@dataclass(frozen=True)
class Written:
    """A comparison, a sweep, and the page about them."""

    folder: Path
    result: CompareResult
    swept: SweepResult
    files: tuple[Path, ...]
    html: Page
    markdown: str
    task: Task


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    with pytest.MonkeyPatch.context() as patch:
        dataset = toy_dataset()
        patch.setitem(data.DATASETS, TOY, lambda: dataset)
        folder = tmp_path_factory.mktemp("page")
        table = toy_table(dataset).save(folder / "toy.npz")
        env = EnvConfig(dataset=TOY, table=str(table), canvases=TOY_CANVASES, max_points=40)
        result = compare.compare(quick(env), folder / "compare")
        stored = json.loads(json.dumps(result.to_json()))
        # The page must show the commit of the comparison, not its own.
        stored["provenance"]["commit"] = EARLIER
        (folder / "compare" / "result.json").write_text(json.dumps(stored))
        config = SweepConfig(quick(env, algorithms=("reinforce",), seeds=1), (0.1, 0.3), ())
        swept = sweep.sweep(config, folder / "sweep")
        write_json(folder / "sweep" / "sweep.json", swept.to_json())
        files = page.write(folder / "compare", folder / "sweep", folder / "out" / "report.html")
        html, markdown = (file.read_text(encoding="utf-8") for file in files[:2])
        yield Written(folder, result, swept, files, Page(html), markdown, env.task("test"))


def test_it_stands_alone(written: Written) -> None:
    tags = Counter(tag for tag, _ in written.html.tags)
    assert not tags.keys() & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert "url(" not in written.files[0].read_text(encoding="utf-8")
    assert "@import" not in written.files[0].read_text(encoding="utf-8")
    assert all(source.startswith("data:image/png;base64,") for source in written.html.attributes("src"))
    ids = written.html.attributes("id")
    assert len(set(ids)) == len(ids) == 7
    assert written.html.attributes("href") == [f"#{one}" for one in ids]
    assert not {"srcset", "poster", "action", "onload", "onerror"} & {
        name for _, attrs in written.html.tags for name in attrs
    }
    assert all(alt.strip() for alt in written.html.attributes("alt"))
    assert len(written.html.attributes("alt")) == tags["img"] == 5 + 8


def test_what_is_written(written: Written) -> None:
    out = written.folder / "out"
    assert written.files[:2] == (out / "report.html", out / "report.md")
    assert set(written.files) == {path for path in out.rglob("*") if path.is_file()}
    names = [path.name for path in written.files[2:]]
    assert names == [
        *(f"{name}.png" for name in ("accuracy-gflops", "learning-curves", "profiles", "pareto", "canvas-shares")),
        *(f"regret-{place}.png" for place in range(1, 9)),
    ]
    # The page embeds the pictures, the Markdown links the files.
    embedded = [base64.b64decode(source.partition(",")[2]) for source in written.html.attributes("src")]
    assert embedded == [path.read_bytes() for path in written.files[2:]]
    assert [out / name for name in re.findall(r"!\[.*\]\(<(.*)>\)", written.markdown)] == list(written.files[2:])


def test_it_says_what_was_compared(written: Written) -> None:
    facts = dict(written.html.table("the comparison"))
    assert facts["data set"] == "toy"
    assert facts["split that is reported"] == "test: 36 sketches of 12 photos"
    assert facts["gallery"] == "12 photos"
    assert facts["canvases on offer"] == "16, 32, 64, 128"
    assert facts["training"] == "split train, 512 steps a run, 2 seeds each"
    for sentence in report.finding(written.result).splitlines():
        assert sentence in written.html.text
    assert "sketchcanvas report --compare" in written.html.text


def test_it_says_the_stored_numbers(written: Written) -> None:
    stored = json.loads((written.folder / "compare" / "result.json").read_text())
    shown = written.html.table("toy, split test: 36 sketches of 12 photos, tradeoff 0.2")
    assert [row[0] for row in shown] == [row["name"] for row in stored["rows"]]
    for cells, row in zip(shown, stored["rows"], strict=True):
        low, high = row["acc1_interval"]
        assert cells[1] == f"{100 * row['acc1']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        assert cells[2] == f"{row['gflops']:.4f}"
        assert cells[4] == f"{row['gap_closed']:+.2f}"
        assert f"| {row['name']} | {cells[1]} |" in written.markdown
    claimed = written.html.table("what may be claimed")
    assert [row[0] for row in claimed] == list(AGENTS)
    for cells, verdict in zip(claimed, stored["verdicts"], strict=True):
        assert cells[1].startswith(f"{verdict['gap_closed']['value']:+.3f} [")
        assert cells[2].startswith(f"{verdict['over_fixed']['value']:+.4f} [")
    one = stored["verdicts"][0]["improvement"]["ppo"]
    matrix = written.html.table("probability of improvement")
    assert [row[0] for row in matrix] == ["1 reinforce", "2 ppo"]
    assert matrix[0][1] == matrix[1][2] == "-"
    assert matrix[0][2].rstrip("*") == f"{one['value']:.2f}"
    # The two probabilities add up to 1: ties count half.
    assert float(matrix[0][2].rstrip("*")) + float(matrix[1][1].rstrip("*")) == pytest.approx(1.0, abs=0.011)
    # Two seeds are too few for any difference.
    assert one["p_value"] >= 1 / 3
    assert not matrix[0][2].endswith("*")
    assert [cells[-1] for cells in claimed] == ["-", "-"]


def test_it_says_where_the_numbers_come_from(written: Written) -> None:
    stored = json.loads((written.folder / "compare" / "result.json").read_text())["provenance"]
    told = {row[0]: row[1:] for row in written.html.table("where the numbers come from")}
    for name in ("dataset_hash", "student_hash", "table_hash"):
        assert told[name] == [stored[name], stored[name]]
    assert told["commit"] == [EARLIER, written.result.provenance["commit"]]
    assert told["versions torch"][0] == stored["versions"]["torch"]
    assert told["machine system"][0] == stored["machine"]["system"]
    (reinforce, ppo) = written.html.table("settings of the runs")
    assert reinforce[:3] == ["reinforce", "reinforce", "stats"]
    assert "baseline mean" in reinforce[3]
    assert "n_epochs 3" in ppo[3]
    assert written.task.dataset.licence in written.html.text


def choices(written: Written) -> dict[str, list[list[int]]]:
    """The choices of every seed, from the stored runs."""
    found: dict[str, list[list[int]]] = {agent: [] for agent in AGENTS}
    for run in pack.read(written.folder / "compare").values():
        actions = policy.actions_of(run.selector.selector, written.task).tolist()
        found[run.config.algorithm].append(actions)
    assert {len(seeds) for seeds in found.values()} == {2}
    return found


def test_shares_by_level(written: Written) -> None:
    lookup = written.task.lookup
    assert lookup is not None
    found = choices(written)
    shares = page.canvas_shares(
        {agent: np.array(seeds) for agent, seeds in found.items()}, Options.of_table(lookup.table), lookup.table.level
    )
    assert list(shares) == [*AGENTS, "oracle"]
    everybody = {**found, "oracle": [lookup.oracle.tolist()]}
    table = written.html.table("share of the sketches that each canvas gets, %")
    for (agent, share), cells in zip(shares.items(), table, strict=True):
        assert cells[0] == agent
        assert share.shape == (3, 4)
        np.testing.assert_allclose(share.sum(axis=1), 1.0)
        for level in range(3):
            taken = Counter(
                action
                for seed in everybody[agent]
                for action, at in zip(seed, lookup.table.level, strict=True)
                if at == level
            )
            expected = [taken[column] / taken.total() for column in range(4)]
            np.testing.assert_allclose(share[level], expected, atol=1e-12)
            told = dict(pair.split(":") for pair in cells[1 + level].split())
            rounded = {str(TOY_CANVASES[k]): f"{100 * part:.0f}" for k, part in enumerate(expected) if part >= 0.005}
            assert told == rounded
    assert written.html.tables["share of the sketches that each canvas gets, %"][0][1:] == [
        "level 0",
        "level 1",
        "level 2",
    ]
    # The oracle's shares differ between levels, so a mix-up of levels would be noticed.
    assert len({tuple(row) for row in shares["oracle"].tolist()}) > 1


def test_the_largest_regrets(written: Written) -> None:
    table = written.task.table
    assert table is not None
    rewards, found = table.rewards(), choices(written)
    regrets = []
    for row in range(len(table)):
        lost = [
            sum(max(rewards[row]) - rewards[row, seed[row]] for seed in seeds) / len(seeds) for seeds in found.values()
        ]
        regrets.append(round(float(sum(lost) / len(lost)), 9))
    expected = sorted(range(len(table)), key=lambda row: (-regrets[row], row))[:8]
    assert regrets[expected[0]] > regrets[expected[-1]] > 0
    titles = [caption for caption in written.html.tables if ": regret " in caption]
    for place, (row, title) in enumerate(zip(expected, titles, strict=True), start=1):
        assert title == f"{place}. {table.sketch_ids[row]}, level {table.level[row]}: regret {regrets[row]:.4f}"
        cells = written.html.table(title)
        assert [cell[:2] for cell in cells] == [
            [str(side), str(rank)] for side, rank in zip(TOY_CANVASES, table.ranks[row], strict=True)
        ]
        taken: dict[int, list[str]] = {k: [] for k in range(4)}
        for agent, seeds in found.items():
            counts = Counter(seed[row] for seed in seeds)
            taken[min(counts, key=lambda column: (-counts[column], column))].append(agent)
        taken[int(table.oracle()[row])].append("oracle")
        assert [cell[2] for cell in cells] == [", ".join(who) or "-" for who in taken.values()]


def test_regrets_most_frequent_canvas_and_ties(written: Written) -> None:
    lookup = written.task.lookup
    assert lookup is not None
    best, n = lookup.oracle, len(lookup.oracle)
    # Three seeds of one agent: two of them wrong on rows 5 and 9 only, where a third is right.
    wrong = np.stack([best, best, best])
    wrong[:2, [5, 9]] = (best[[5, 9]] + 1) % 4
    options = Options.of_table(lookup.table)
    found = page.largest_regrets({"mine": wrong}, options, 4)
    assert {found[0].row, found[1].row} == {5, 9}
    for one in found[:2]:
        lost = lookup.regret[one.row, wrong[0, one.row]]
        assert one.regret == pytest.approx(2 / 3 * lost)
        assert one.chosen == {"mine": wrong[0, one.row], "oracle": best[one.row]}
    # The other rows have no regret: ties go to the first rows.
    assert [(one.row, one.regret) for one in found[2:]] == [(0, 0.0), (1, 0.0)]
    # Two canvases in equally many seeds: the smaller one is named.
    even = np.stack([np.full(n, 3), np.full(n, 1)])
    assert {one.chosen["mine"] for one in page.largest_regrets({"mine": even}, options)} == {1}
    assert len(page.largest_regrets({"mine": even}, options, 1000)) == n


def test_sketches_are_drawn_beside_their_photos(written: Written) -> None:
    titles = [caption for caption in written.html.tables if ": regret " in caption]
    for title, path in zip(titles, written.files[-8:], strict=True):
        name = title.partition(". ")[2].partition(",")[0]
        row = written.task.sketch_ids.tolist().index(name)
        pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
        assert pixels.shape == (128, 264, 3)
        np.testing.assert_array_equal(pixels[:, :128, 0], rasterise(written.task.sketch(row), 128))
        # A small photo is centred and not enlarged.
        np.testing.assert_array_equal(pixels[44:84, 180:220], toy_photo(name.partition("/")[0]))


def test_the_sweep(written: Written) -> None:
    assert "The trade-off" in written.html.text
    fronts = written.html.table("fronts")
    assert [row[0] for row in fronts] == ["fixed", "reinforce", "oracle"]
    for cells, front in zip(fronts, written.swept.fronts, strict=True):
        assert cells[1].startswith(f"{front.hypervolume:.3f} [")
    points = written.html.table("toy, split test: 1 seeds x 512 steps")
    assert [row[:2] for row in points] == [[who, t] for who in ("oracle", "reinforce") for t in ("0.1", "0.3")]


def test_a_sweep_read_again_says_the_same(written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("agents.algorithms.registry.train_run", lambda *_, **__: pytest.fail("a run has started"))
    again, before = sweep.reread(written.folder / "sweep").to_json(), written.swept.to_json()
    for fields in (again, before):
        del fields["seconds"]
    assert again == before
    with pytest.raises(FileNotFoundError, match=r"no sweep in .*sweep\.json is missing"):
        sweep.reread(tmp_path)
    for text in ("[]", "{", '{"config": {}}'):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(ValueError, match="is no result of a sweep"):
            sweep.reread(tmp_path)


def test_only_html_is_a_name_for_html(written: Written, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"should end in \.html"):
        page.write(written.folder / "compare", None, tmp_path / "report.md")
    with pytest.raises(FileNotFoundError, match="no comparison"):
        page.write(tmp_path, None, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_hostile_names_one_seed_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, break_out = "<script>", "a](b)|`*<i>"
    plain = toy_dataset()
    dataset = replace(
        plain,
        hash="f" * 64,
        sketch_ids=np.array([f"<img src=x>{name}" for name in plain.sketch_ids.tolist()]),
        licence="</pre>\n```\n<script>evil()</script>",
    )
    monkeypatch.setitem(data.DATASETS, TOY, lambda: dataset)
    monkeypatch.setitem(algorithms.ALGORITHMS, mark, algorithms.ALGORITHMS["reinforce"])
    monkeypatch.setitem(algorithms.ALGORITHMS, break_out, algorithms.ALGORITHMS["ppo"])
    table = toy_table(dataset).save(tmp_path / "toy.npz")
    env = EnvConfig(dataset=TOY, table=str(table), canvases=TOY_CANVASES, max_points=40)
    folder = tmp_path / "compare"
    result = compare.compare(quick(env, algorithms=(mark, break_out), seeds=1), folder)
    write_json(folder / "result.json", result.to_json())
    files = page.write(folder, None, folder / "report.html")
    html = files[0].read_text(encoding="utf-8")
    found = Page(html)
    assert not {"script", "i"} & {tag for tag, _ in found.tags}
    assert all(source.startswith("data:") for source in found.attributes("src"))
    assert [row[0] for row in found.table("what may be claimed")] == [mark, break_out]
    assert any(caption.startswith("1. <img src=x>test-") for caption in found.tables)
    assert dataset.licence in found.text
    outside = re.sub(r"(?s)````text\n.*?\n````\n", "", files[1].read_text(encoding="utf-8"))
    assert "<script" not in outside
    assert "<i" not in outside
    assert r"| a\](b)\|\`\*&lt;i> |" in outside
    # With one seed and without a sweep these parts are left out.
    assert "probability of improvement" not in found.tables
    assert "With one seed each" in found.text
    assert "The trade-off" not in found.text
    assert not {"profiles.png", "pareto.png"} & {file.name for file in files}
