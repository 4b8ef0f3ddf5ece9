"""The READMEs: their code runs, their tables are the stored results, their commands are those of CI."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

import agents
import students
from agents.experiments import pack, sweep
from agents.experiments.stored import validate
from agents.reports import saving
from agents.reports import students as student_tables
from agents.reports import tables as report
from agents.selectors import networks
from agents.store.saved import SavedSelector
from agents.studies.students import build
from sketchcanvas_env import load_table
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from students.network.flops import count_params
from students.store.weights import load_card
from students.tables.evaluation import RESULTS_FOLDER, read_rows
from tests.agents.support import stored_costs

ROOT = Path(__file__).parents[1]
CANVASES = (32, 64, 128, 256)
PAGES = tuple(ROOT / folder / "README.md" for folder in ("", "sketchcanvas_env", "students", "agents"))
README = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
"""The text of all four."""
RESULTS = ROOT / "agents" / "results" / "emoji-full"
QUICK = ROOT / "agents" / "results" / "known-quick"
KNOWN = ROOT / "agents" / "results" / "known-full"
CASCADE = ROOT / "agents" / "results" / "emoji-cascade"
SWEEP = ROOT / "agents" / "results" / "emoji-sweep"
STUDENTS = ROOT / "agents" / "results" / "students"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_python_blocks_run(page: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)
    assert blocks or page != PAGES[0]
    for block in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block, str(page), "exec"), {})
        assert out.getvalue().strip()


def first_table(text: str) -> list[dict[str, str]]:
    """The rows of the first Markdown table, by column."""
    lines = [line for line in text[text.index("|") :].split("\n\n")[0].splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    assert len(set(head)) == len(head)
    return [dict(zip(head, row, strict=True)) for row in rows]


def in_readme(name: str) -> list[dict[str, str]]:
    return first_table(README.split(f"<!-- {name} table -->")[1])


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("compare", RESULTS / "result.md"),
        ("known", KNOWN / "result.md"),
        ("cascade", CASCADE / "result.md"),
        ("sweep", SWEEP / "sweep.md"),
        ("query latency", ROOT / "agents" / "results" / "query-latency.md"),
    ],
)
def test_rows_are_stored_rows_with_fewer_columns(name: str, file: Path) -> None:
    stored, shown = first_table(file.read_text(encoding="utf-8")), in_readme(name)
    columns = list(shown[0])
    assert len(columns) >= 3
    assert len(shown) >= min(len(stored), 7)
    for row in shown:
        assert row in [{column: one[column] for column in columns} for one in stored]


@pytest.mark.parametrize("folder", [RESULTS, KNOWN, CASCADE], ids=["compare", "known", "cascade"])
def test_stored_tables_are_those_of_the_stored_numbers(folder: Path) -> None:
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    told = {row["policy"]: row["acc@1"] for row in first_table((folder / "result.md").read_text(encoding="utf-8"))}
    wanted = {row["name"]: row for row in stored["rows"] if row["kind"] != "hull"}
    assert told.keys() == wanted.keys()
    for name, row in wanted.items():
        assert told[name].startswith(f"{100 * row['acc1']:.1f} [")


def test_crossfit_table_is_that_of_the_stored_estimates() -> None:
    [_, head, _, *lines] = README.split("<!-- crossfit table -->")[1].split("\n\n")[0].splitlines()
    names = [cell.strip() for cell in head.split("|")[3:-1]]
    folders = sorted((ROOT / "agents" / "results" / "chairv2-crossfit").iterdir())
    assert len(folders) == len(lines) == 2
    for folder, line in zip(folders, lines, strict=True):
        stored = json.loads((folder / "pooled.json").read_text(encoding="utf-8"))
        gains = {row["name"]: row["hull_gain"] for row in stored["rows"]}
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert folder.name == f"seed{cells[0]}"
        parts = next(row["hull_gains"] for row in stored["rows"] if row["name"] == "margin rule")
        assert cells[1] == ", ".join(f"{100 * part:+.1f}" for part in parts)
        for name, cell in zip(names, cells[2:], strict=True):
            low, high = gains[name]["interval"]
            assert cell == f"{100 * gains[name]['value']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def test_stored_result_is_of_the_shipped_table() -> None:
    stored = json.loads((RESULTS / "result.json").read_text(encoding="utf-8"))
    table = load_table("emoji")
    assert stored["provenance"]["student_hash"] == table.student_hash
    assert stored["provenance"]["dataset_hash"] == table.dataset_hash
    fixed = {row["name"]: row["acc1"] for row in stored["rows"] if row["kind"] == "fixed"}
    test = table.select("test")
    assert fixed == {
        f"fixed {side}": pytest.approx(float(test.acc()[test.columns([side])[0]])) for side in (32, 64, 128, 256)
    }


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(RESULTS, marks=pytest.mark.processors, id="full"),
        pytest.param(QUICK, marks=pytest.mark.processors, id="quick"),
        pytest.param(KNOWN, id="known"),  # a minute, and without weights nothing but the bootstrap is computed
    ],
)
def test_stored_comparisons_follow_from_their_selectors(folder: Path) -> None:
    assert validate(folder).differences == ()


def test_sweep_table_is_the_stored_result() -> None:
    again = sweep.reread(SWEEP)
    assert saving.report_of(again).markdown == (SWEEP / "sweep.md").read_text(encoding="utf-8")
    assert again.provenance["table_hash"] == load_table("emoji").select("test").select(canvases=CANVASES).hash


def test_the_shipped_selector_is_the_chosen_one() -> None:
    stored = json.loads((RESULTS / "result.json").read_text(encoding="utf-8"))
    card = agents.load("emoji").card
    (chosen,) = (row["name"] for row in stored["rows"] if row["kind"] == "chosen")
    assert chosen == f"chosen on val ({card['algorithm']}/{card['selector']['name']}, seed {card['config']['seed']})"
    run = pack.read(RESULTS)[stored["chosen"]]
    assert run.card["config"] == card["config"]
    assert run.card["trained_on"] == card["trained_on"]
    choice = run.config.env.choose(agents.load("emoji").selector, "test")
    assert (choice == run.decisions["test"]).all()


def test_selector_costs_are_those_of_the_networks() -> None:
    student = float(load_table("emoji").select(canvases=(32,)).flops[0])
    shown = {row["network"]: row for row in in_readme("selectors")}
    assert list(shown) == list(networks.SELECTORS)
    for name, row in shown.items():
        network = networks.create(name, len(CANVASES), len(FEATURE_NAMES))
        flops = SavedSelector(network, CANVASES, 64, {}).flops(64)
        assert row["reads"] == ", ".join(network.reads)
        assert row["parameters"] == f"{count_params(network):,}"
        assert row["MFLOPs"] == f"{flops / 1e6:.4f}"
        assert row["% of the student's at 32 px"] == f"{100 * flops / student:.1f}"


def test_times_of_selectors_are_the_stored_ones() -> None:
    costs = stored_costs(ROOT / "agents" / "results" / "selectors.json")
    text = README.split("<!-- selectors table -->")[1].split("##")[0]
    for one in costs.selectors:
        assert re.search(rf"`{one.name}`[^`]* {one.ms:.2f}", text)
    assert f"{100 * costs.selectors[0].ms_share:.0f} % of the student's time" in text


def test_student_table_is_the_shipped_tables() -> None:
    ours, hog = load_table("emoji").select("test"), load_table("emoji", "hog").select("test")
    for mine, dumb in zip(report.score_cells(ours), report.score_cells(hog), strict=True):
        assert f"| {mine[1]} | {mine[2]} | {mine[3]} | {mine[4]} | {mine[5]} | {dumb[3]} |" in README


def test_student_report_is_of_the_stored_rows() -> None:
    result = build(read_rows(RESULTS_FOLDER))
    assert saving.report_of(result).markdown == (STUDENTS / "students.md").read_text(encoding="utf-8")
    for section in result.sections:
        assert report.markdown(student_tables.headline_table(section)) in README
        assert report.markdown(student_tables.difference_table(section)) in README


def test_stored_rows_are_of_the_shipped_students() -> None:
    for row in read_rows(RESULTS_FOLDER).values():
        shipped = students.WEIGHTS_FOLDER / f"{row.dataset}-{row.backbone}.safetensors"
        if not shipped.exists():
            continue  # not all that is measured is shipped
        if row.role in ("teacher", "distilled") and row.steps == load_card(shipped)["recipe"]["steps"]:
            assert (
                row.weights_sha256 == load_card(shipped)["sha256"] or row.seed != load_card(shipped)["recipe"]["seed"]
            )


def test_pilot_table_is_the_stored_result() -> None:
    table = (STUDENTS / "pilot.md").read_text(encoding="utf-8").split("\n\n")[1]
    assert table in README
    stored = json.loads((STUDENTS / "pilot.json").read_text(encoding="utf-8"))
    assert json.dumps(load_table("emoji").student_hash) in json.dumps(stored)


def test_weights_in_the_wheel_stay_small() -> None:
    """The teachers, of another network, come with the source only."""
    assert sum(file.stat().st_size for file in students.WEIGHTS_FOLDER.rglob("*mobilenet_v2*.safetensors")) < 30e6


def test_links_lead_to_files() -> None:
    for page in PAGES:
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
        assert links or page != PAGES[0]
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_ci_runs_the_test_line() -> None:
    line = re.search(r"<!-- test line -->\n```bash\n(.*)\n```", README)
    assert line is not None
    assert ".venv/bin/python -m pytest" in line.group(1)
    assert "test line" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_files_named_are_there() -> None:
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:sketchcanvas_env|students|agents|tests|examples)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name
