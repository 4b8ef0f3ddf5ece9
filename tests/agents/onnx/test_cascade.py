"""Exported cascades decide as with torch after every look, and search without torch; damaged cards are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import agents
import students
from agents.cli import app
from agents.evaluation.setting import CascadeConfig
from agents.experiments import pack
from agents.onnx.export import TOLERANCE, export
from agents.onnx.selector import OnnxCascade, OnnxSelector
from agents.search.answers import Look
from agents.search.parts import CascadeSelector, FixedCanvas
from agents.search.pipeline import Pipeline
from agents.selectors import networks as selectors
from agents.selectors.observation import SeenLook
from agents.store.saved import SavedCascade
from sketchcanvas_env import load_dataset
from sketchcanvas_env.outcomes.columns import TOP
from sketchcanvas_env.sketches.features import FEATURE_NAMES
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.svg.reader import read_svg
from students.network.embedder import Student
from students.onnx.export import export as export_student
from students.search.index import PhotoIndex
from students.store.weights import save_student
from tests.helpers import toy_sketch
from tests.students.support import fit_norms

RUNS = Path(agents.__file__).parent / "results" / "emoji-cascade"


def stored(which: str, folder: Path) -> Path:
    """One of the stored runs of a comparison, in a file of its own."""
    [name] = [name for name in pack.read(RUNS) if name.startswith(f"{which}-")]
    return pack.extract(RUNS, name, folder / name)


CANVASES = (16, 32, 64)
SKETCHES = [toy_sketch(row) for row in range(12)]
SOME = [VectorSketch.from_strokes([[[0.5, 0.5]]]), *SKETCHES[:2]]


def lively(name: str = "looks", ranking: str = "last", scale: float = 1.0, **settings: Any) -> SavedCascade:
    """A cascade with large random weights, so that its choices differ."""
    torch.manual_seed(2)
    network = selectors.create(name, len(CANVASES) + 1, len(FEATURE_NAMES), **settings)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    env = CascadeConfig(canvases=CANVASES, max_points=40, ranking=ranking)
    card = {"sha256": "a" * 64, "algorithm": "by hand", "trained_on": {}, "config": {"env": asdict(env)}}
    return SavedCascade(network.eval(), CANVASES, 40, card, (1.0, 3.0, 12.0))


def orders(looks: dict[int, Any]) -> Iterator[list[Any]]:
    """Every sequence of looks: any canvases, in any order."""
    for count in range(len(looks) + 1):
        for sides in permutations(looks, count):
            yield [looks[side] for side in sides]


def some_looks(seed: int) -> dict[int, SeenLook]:
    rng = np.random.default_rng(seed)
    return {
        side: SeenLook(side, [f"p{i}" for i in rng.permutation(7)[:5]], np.sort(rng.uniform(0.0, 1.5, 5)).tolist())
        for side in CANVASES
    }


@pytest.fixture(scope="module")
def real() -> tuple[list[VectorSketch], list[dict[int, Look]]]:
    """Sketches of the split `student`, and the look at each canvas."""
    dataset = load_dataset("emoji")
    sketches = [dataset.sketch(int(row)) for row in dataset.indices("student")[::100]]
    pipeline = Pipeline.load()
    found = [
        Pipeline(pipeline.index, pipeline.student, FixedCanvas(side)).search_many(sketches, top=TOP)
        for side in (32, 64, 128, 256)
    ]
    return sketches, [{each.canvas: each.looks[0] for each in answers} for answers in zip(*found, strict=True)]


@pytest.mark.parametrize("which", ["backward_induction-looks-0", "dqn-looks-0"])  # with masks, and without
def test_stored_cascades_after_any_looks_at_real_sketches(
    real: tuple[list[VectorSketch], list[dict[int, Look]]], which: str, tmp_path: Path
) -> None:
    saved = agents.load(stored(which, tmp_path))
    assert isinstance(saved, SavedCascade)
    exported = export(saved, tmp_path, real[0][:2])
    assert isinstance(exported, OnnxCascade) and isinstance(exported, CascadeSelector)
    assert (exported.ranking, exported.costs) == (saved.ranking, saved.costs)
    decisions = []
    for sketch, seen in zip(*real, strict=True):
        assert exported(sketch) == saved(sketch)
        assert exported.gflops(sketch) == saved.gflops(sketch)
        for looks in orders(seen):
            ours, theirs = saved.logits(sketch, None, looks), exported.logits(sketch, None, looks)
            np.testing.assert_allclose(theirs, ours, atol=TOLERANCE)
            decisions.append(exported.next(sketch, looks))
            assert decisions[-1] == saved.next(sketch, looks)
    assert len(decisions) == 65 * len(real[0]) > 1_000
    assert len(set(decisions)) >= 3  # canvases and stopping


@pytest.mark.parametrize(
    "settings",
    [{"masked": True}, {"masked": False, "ranking": "fused"}, {"name": "stats"}, {"name": "gru", "scale": 0.3}],
    ids=["masked", "fused", "stats", "gru"],
)
def test_every_kind_of_cascade(settings: dict[str, Any], tmp_path: Path) -> None:
    saved = lively(**settings)
    exported = export(saved, tmp_path, SOME)
    assert isinstance(exported, OnnxCascade)
    assert (exported.canvases, exported.max_points, exported.ranking) == (CANVASES, 40, settings.get("ranking", "last"))
    decisions = set()
    for row, sketch in enumerate([*SKETCHES, *SOME]):
        assert exported(sketch) == saved(sketch)
        assert exported.gflops(sketch) == saved.gflops(sketch)
        for looks in orders(some_looks(row)):
            decision = exported.next(sketch, looks)
            assert decision == saved.next(sketch, looks)
            assert decision not in [look.canvas for look in looks]
            decisions.add(decision)
    assert len(decisions) > 1


def test_a_cascade_does_not_stop_before_its_first_look(tmp_path: Path) -> None:
    saved = lively(masked=False)
    with torch.no_grad():
        saved.selector.head.bias[-1] = 1e4
    exported = export(saved, tmp_path, SOME)
    assert isinstance(exported, OnnxCascade)
    assert exported.next(SOME[0], ()) == saved.next(SOME[0], ()) == exported(SOME[0])
    assert exported(SOME[0]) in CANVASES
    assert exported.next(SOME[0], list(some_looks(0).values())[:1]) is None


def test_wrong_looks_and_tradeoffs_are_refused(tmp_path: Path) -> None:
    exported = export(lively(), tmp_path, SOME)
    assert isinstance(exported, OnnxCascade)
    look = SeenLook(16, ["a", "b"], [0.5, 0.6])
    with pytest.raises(ValueError, match=r"knows the canvases \[16, 32, 64\], not 48"):
        exported.next(SOME[0], [SeenLook(48, ["a"], [0.5])])
    with pytest.raises(ValueError, match="looked at twice"):
        exported.next(SOME[0], [look, look])
    for call in (exported, exported.gflops):
        with pytest.raises(ValueError, match=r"cannot choose at 0\.3"):
            call(SOME[0], 0.3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card.pop("cascade"), "damaged"),
        (lambda card: card.update(cascade=None), "damaged"),
        (lambda card: card["cascade"].pop("costs"), "damaged"),
        (lambda card: card["cascade"].update(ranking="best"), "unknown ranking 'best'"),
        (lambda card: card["cascade"].update(costs=[1.0, 2.0]), "costs must be 3 numbers"),
        (lambda card: card["cascade"].update(costs=[1.0, 2.0, -3.0]), "finite numbers above zero"),
        (lambda card: card["cascade"].update(costs=[1e308] * 3), "too large to be added up"),
        (lambda card: card.update(canvases=[16, 32]), "damaged"),
        (lambda card: card.update(canvases=list(range(1, 10))), "at most 8 canvases, not 9"),
        (lambda card: card.update(reads=["stats", "looks"]), "its graph turns"),
        (lambda card: card.update(reads=["stats", "looks", "last", "tradeoff"]), "damaged"),
    ],
)
def test_a_damaged_card_is_noticed(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    export(lively(), tmp_path, SOME)
    path = tmp_path / "selector.json"
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))
    with pytest.raises(ValueError, match=message):
        OnnxSelector.load(tmp_path)


# ---- a student beside it


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    torch.manual_seed(0)
    made = students.create("mobilenet_v2", canvases=CANVASES, photo_side=32)
    generator = torch.Generator().manual_seed(1)
    for domain in made.config.domains:
        side = 32 if domain == "photo" else int(domain)
        fit_norms(made, domain, torch.rand(8, 3, side, side, generator=generator) * 2 - 1)
    path = tmp_path_factory.mktemp("student") / "student.safetensors"
    return students.load(save_student(made, path, {"name": "small"}))


@pytest.fixture(scope="module")
def folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of the student and of a cascade that ranks by all of its looks."""
    path = tmp_path_factory.mktemp("export")
    export_student(student, path, SOME)
    export(lively(ranking="fused"), path, SOME)
    return path


@pytest.fixture(scope="module")
def index(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of sketches instead of photos."""
    found = PhotoIndex(
        ids=tuple(f"p{i}.png" for i in range(12)),
        embeddings=student.embed([toy_sketch(100 + i) for i in range(12)], 32),
        student="small",
        student_hash=student.weights_hash,
        kind="folder",
        source="pictures",
    )
    path = tmp_path_factory.mktemp("index") / "toy"
    found.save(path)
    return path


def test_the_pipeline_looks_several_times_and_ranks_as_the_card_says(
    student: Student, folder: Path, index: Path
) -> None:
    exported = Pipeline.load(index, student=folder, engine="onnx")
    assert exported.ranking == "fused"
    reference = Pipeline(exported.index, student, lively(), ranking="fused")
    several = 0
    for sketch in [*SKETCHES, *SOME]:
        ours, theirs = reference.search(sketch, top=12), exported.search(sketch, top=12)
        assert [look.canvas for look in theirs.looks] == [look.canvas for look in ours.looks]
        assert theirs.selector_gflops == ours.selector_gflops
        assert [hit.distance for hit in theirs.hits] == pytest.approx([hit.distance for hit in ours.hits], abs=1e-4)
        last = [hit.distance for hit in theirs.looks[-1].hits]
        several += len(theirs.looks) > 1 and last != pytest.approx([hit.distance for hit in theirs.hits], abs=1e-3)
    assert several
    with pytest.raises(ValueError, match="cannot be told a tradeoff"):
        exported.search(SKETCHES[0], tradeoff=0.3)


def test_a_query_without_torch_shows_its_looks(folder: Path, index: Path, tmp_path: Path) -> None:
    here = Pipeline.load(index, student=folder, engine="onnx")
    sketch = next(one for one in SKETCHES if len(here.search(one).looks) > 1)
    drawing = tmp_path / "drawing.svg"
    drawing.write_text(sketch.to_svg(), encoding="utf-8")
    words = ["query", str(drawing), "--index", str(index), "--student", str(folder), "--engine", "onnx"]
    script = """
import sys
from agents.cli import app

app(sys.argv[1:], standalone_mode=False)
print([name for name in ("torch", "stable_baselines3", "onnx") if name in sys.modules], file=sys.stderr)
"""
    command = [sys.executable, "-c", script, *words, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == "[]"
    [answer] = json.loads(ran.stdout)["queries"]
    wanted = here.search(read_svg(drawing))
    assert [look["canvas"] for look in answer["looks"]] == [look.canvas for look in wanted.looks]
    assert [hit["photo"] for hit in answer["hits"]] == [hit.photo for hit in wanted.hits]
    shown = CliRunner().invoke(app, [*words, "--verbose"]).stdout
    assert "look 1" in shown and f"look {len(wanted.looks)}" in shown


@pytest.mark.usefixtures("toy")
def test_exported_on_the_command_line(
    student: Student, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    weights = save_student(student, tmp_path / "small.safetensors", {"name": "small"})
    run = stored("maskable_ppo-looks-0", tmp_path)
    words = ["export", "--onnx", str(tmp_path / "out"), "--student", str(weights), "--dataset", "toy"]
    ran = CliRunner().invoke(app, [*words, "--selector", str(run)])
    assert ran.exit_code == 0, ran.output
    exported = OnnxSelector.load(tmp_path / "out")
    assert isinstance(exported, OnnxCascade)
    assert exported.card["source"]["weights_sha256"] == agents.load(run).card["sha256"]
