"""The list of what makes what: complete, without circles, and of commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from agents.cli import app
from tests.tools import rebuild

ROOT = Path(__file__).parents[1]


def test_each_step_comes_after_what_it_needs():
    seen: set[str] = set()
    for step in rebuild.STEPS.values():
        assert set(step.needs) <= seen, step.name
        seen.add(step.name)


def test_every_shipped_file_that_stands_on_weights_is_made_by_one_step():
    made = [path for step in rebuild.STEPS.values() for path in step.makes]
    assert len(made) == len(set(made))
    shipped = [
        path.relative_to(ROOT).as_posix()
        for folder, pattern in (
            ("students/weights", "*.*"),
            ("students/indexes", "*.*"),
            ("sketchcanvas_env/tables", "*.npz"),
        )
        for path in (ROOT / folder).glob(pattern)
    ]
    assert shipped
    assert set(shipped) <= set(made)


@pytest.mark.parametrize("step", rebuild.STEPS.values(), ids=lambda step: step.name)
def test_commands_are_those_of_the_package_and_name_their_files(step):
    for command in step.commands:
        program, *words = shlex.split(command)
        if program == "sketchcanvas":
            assert words[0] in get_command(app).commands
        else:
            assert (program, words[0]) == ("python", "-m")
            assert find_spec(words[1])
    written = " ".join(step.commands)
    named = [path for path in step.makes if any(part in written for part in (path, path.rpartition("/")[0]))]
    assert named or not re.search(r"--(out|save) ", written)


def test_after_a_students_weights_come_its_graphs_tables_and_what_stands_on_these():
    names = [step.name for step in rebuild.after(["emoji-student"])]
    assert {"emoji-graphs", "emoji-index", "emoji-table", "emoji-prefixes", "strangers"} <= set(names)
    assert names.index("emoji-table") < names.index("emoji-prefixes")
    assert not {"emoji-student", "chairv2-student", "emoji-hog-table"} & set(names)


def test_steps_run_in_order_and_one_without_its_data_is_named(capsys, monkeypatch):
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, env, check: ran.append((command[1:], check)))
    steps = [rebuild.STEPS["chairv2-hog-row"], rebuild.STEPS["emoji-graphs"]]
    rebuild.run(steps, {})
    assert ran == [(["-m", "students.onnx.export", "emoji-mobilenet_v2"], True)]
    assert "left out: chairv2-hog-row needs --chairv2 DIR" in capsys.readouterr().out
    rebuild.run(steps[:1], {"chairv2": "/data"})
    assert ran[1][0][:3] == ["-m", "agents", "evaluate"]
    assert ran[1][0][ran[1][0].index("--root") + 1] == "/data"
