"""How each shipped file that stands on trained weights is made, and what must be made anew after which.

    python -m tests.tools.rebuild --list
    python -m tests.tools.rebuild --after emoji-student       # everything that stands on the emoji student, in order
    python -m tests.tools.rebuild emoji-index emoji-table     # these steps only

Trainings (`--list` names them) take hours and are run only by name. Steps with "test" in their commands report on the
split test: run them once, when the weights are final. The shipped selectors are copied by hand: `emoji` is the one
chosen in `emoji-full`, `emoji-preference` the best of `emoji-sweep` that takes the tradeoff; then `python -m
agents.onnx.export`. ChairV2 and Quick, Draw! are read from `--chairv2` and
`--quickdraw`; a step that needs one that is not given is left out and named.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One command, or several, and the files that they write."""

    name: str
    commands: tuple[str, ...]
    makes: tuple[str, ...]
    """Paths from the top of the repository, all below it."""
    needs: tuple[str, ...] = ()
    """Names of the steps whose files are read."""
    training: bool = False
    """It trains a student: hours, where the others take seconds to half an hour."""


WEIGHTS, TABLES, RESULTS = "students/weights", "sketchcanvas_env/tables", "agents/results"
_TABULATE = "sketchcanvas tabulate --student {student} --dataset {dataset} --out sketchcanvas_env/tables/{file}"


def _table(dataset: str, student: str, options: str = "") -> tuple[str, str]:
    """The command that ranks all sketches of a data set, and the file it writes."""
    file = f"{dataset}-{'hog' if student == 'hog' else 'mobilenet_v2'}.npz"
    return f"{_TABULATE.format(student=student, dataset=dataset, file=file)} {options}".strip(), f"{TABLES}/{file}"


def _evaluated(data: str, student: str, split: str, row: str, root: str = "", role: str = "") -> tuple[str, str]:
    """The command that measures a student on a split, and the row it writes."""
    out = f"students/results/{data}/{row}.json"
    options = f"{f' --root {root}' if root else ''}{f' --role {role}' if role else ''}"
    return f"sketchcanvas evaluate --student {student} --dataset {data}{options} --split {split} --out {out}", out


def _steps() -> Iterator[Step]:
    yield Step(
        "renderings",
        ("python -m students.training.pool.renderings --archives {archives} --out runs/renderings.npz",),
        ("runs/renderings.npz",),
    )
    for name, needs in (
        ("emoji-efficientnet_lite0", ("renderings",)),
        ("emoji-mobilenet_v2", ("renderings",)),
        ("chairv2-efficientnet_lite0", ()),
        ("chairv2-mobilenet_v2", ("emoji-student",)),
        ("quickdraw_recognition-mobilenet_v2", ("emoji-student",)),
    ):
        data, network = name.split("-")
        root = {"emoji": "", "chairv2": " --root {chairv2}", "quickdraw_recognition": " --root {quickdraw}"}[data]
        short = f"{data}-{'student' if network == 'mobilenet_v2' else 'teacher'}"
        file = f"{WEIGHTS}/{name}.safetensors"
        yield Step(
            short,
            (f"sketchcanvas distill {name}{root} --out runs/{name} --save {file}",),
            (file,),
            needs,
            training=True,
        )
        if network == "mobilenet_v2":
            yield Step(
                f"{data}-graphs",
                (f"python -m students.onnx.export {name}",),
                (f"{WEIGHTS}/{name}.graphs",),
                (short,),
            )

    yield Step(
        "emoji-index",
        (
            "python -m students.search.index emoji:all students/indexes/emoji --half",
            "python -m students.search.index emoji:test students/indexes/emoji-test --half",
        ),
        ("students/indexes/emoji.safetensors", "students/indexes/emoji-test.safetensors"),
        ("emoji-student",),
    )
    yield Step("strangers", ("python -m agents.search.strangers",), ("agents/search/strangers.json",), ("emoji-index",))
    command, file = _table("emoji", "hog")
    yield Step("emoji-hog-table", (command,), (file,))
    command, file = _table("emoji", "emoji", "--looks")
    looks = file.replace(".npz", ".looks.npz")
    yield Step("emoji-table", (command, f"sketchcanvas latency {file}"), (file, looks), ("emoji-student",))
    yield Step(
        "emoji-prefixes",
        (f"python -m students.tables.prefixes --student emoji --table {file}",),
        (file.replace(".npz", ".prefixes.npz"),),
        ("emoji-table",),
    )
    for data, options in (("emoji_recognition", ""), ("emoji_known", "--canvases 32,64,128,256")):
        command, file = _table(data, "emoji", options)
        made = (file, file.replace(".npz", ".looks.npz")) if "--looks" in options else (file,)
        yield Step(f"{data}-table", (command,), made, ("emoji-student",))

    for data, split, rows in (
        ("emoji", "test", (("emoji", "student", ""), ("emoji-efficientnet_lite0", "teacher", "teacher"))),
        ("chairv2", "val", (("chairv2", "student", ""), ("chairv2-efficientnet_lite0", "teacher", "teacher"))),
    ):
        root = "{chairv2}" if data == "chairv2" else ""
        for student, row, role in rows:
            command, made_row = _evaluated(data, student, split, row, root, role)
            yield Step(f"{data}-{row}-row", (command,), (made_row,), (f"{data}-{row}",))
        command, made_row = _evaluated(data, "hog", split, "hog", root)
        yield Step(f"{data}-hog-row", (command,), (made_row,))

    yield from _results()


def _compared(name: str, options: str, needs: str, seeds: str = "") -> Step:
    """A stored comparison, with the weights of some seeds."""
    folder = f"{RESULTS}/{name}"
    files = ("result.json", "result.md", "runs.safetensors", "accuracy-gflops.png", "learning-curves.png")
    return Step(
        name,
        (
            f"sketchcanvas compare {options} --jobs 2 --out {folder}".replace("  ", " "),
            f"python -m tests.tools.trim {folder} {seeds}".strip(),
        ),
        tuple(f"{folder}/{file}" for file in files),
        (needs,),
    )


def _results() -> Iterator[Step]:
    """The stored results of `agents`."""
    yield _compared("known-quick", "", "emoji_known-table")
    yield _compared("known-full", "--preset full --split test", "emoji_known-table")
    yield _compared("emoji-full", "--dataset emoji --preset full --split test", "emoji-table", "0")
    yield _compared("emoji-cascade", "--cascade --split test", "emoji-table", "0")
    for name, command, files, needs in (
        ("emoji-sweep", "sweep --dataset emoji --split test", ("sweep.json", "sweep.md", "pareto.png"), "emoji-table"),
        ("ceiling", "report ceiling", ("ceiling.json", "ceiling.md", "ceiling.png"), "emoji-table"),
    ):
        folder = f"{RESULTS}/{name}"
        made = tuple(f"{folder}/{file}" for file in files)
        yield Step(name, (f"sketchcanvas {command} --out {folder}",), made, (needs,))
    folder = f"{RESULTS}/students"
    yield Step(
        "pilot",
        (f"sketchcanvas report pilot --student emoji --canvases 32,64,128,256 --out {folder}",),
        tuple(f"{folder}/pilot.{end}" for end in ("json", "md", "png")),
        ("emoji-student",),
    )
    yield Step(
        "students",
        (f"sketchcanvas report students --out {folder}",),
        (f"{folder}/students.json", f"{folder}/students.md"),
        ("emoji-student-row", "emoji-teacher-row", "chairv2-student-row", "emoji-full"),
    )
    for name, options in (("selectors", ""), ("query-latency", " --split test")):
        command = f"sketchcanvas report {name}{options} --out {RESULTS}"
        yield Step(name, (command,), (f"{RESULTS}/{name}.json",), ("emoji-full",))
    yield Step(
        "speed",
        ("python -m tests.benchmarks.speed",),
        (f"{RESULTS}/speed.json", f"{RESULTS}/speed.md"),
        ("emoji-full",),
    )
    yield Step(
        "demo", (f"python -m tests.tools.screenshot {RESULTS}/demo.png",), (f"{RESULTS}/demo.png",), ("emoji-index",)
    )


STEPS = {step.name: step for step in _steps()}


def after(names: Iterable[str]) -> list[Step]:
    """The steps that stand on those named, which are not among them, each after what it needs; no trainings."""
    found = set(names)
    asked = set(found)
    steps = []
    for step in STEPS.values():  # in an order in which each comes after what it needs (a test)
        if step.name not in asked and not step.training and found & set(step.needs):
            found.add(step.name)
            steps.append(step)
    return steps


def run(steps: Iterable[Step], folders: dict[str, str]) -> None:
    """Run the steps' commands from the top of the repository, one torch thread each; the first failure ends it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for step in steps:
        try:
            commands = [command.format(**folders) for command in step.commands]
        except KeyError as missing:
            print(f"left out: {step.name} needs --{missing.args[0]} DIR", flush=True)
            continue
        for command in commands:
            print(f"{step.name}: {command}", flush=True)
            program, *words = shlex.split(command)
            start = [sys.executable, "-m", "agents"] if program == "sketchcanvas" else [sys.executable]
            subprocess.run([*start, *words], env=environment, check=True)


def main() -> None:
    """Read the command line and run, or print, the steps."""
    parser = argparse.ArgumentParser(description="Make shipped files anew, in the order of what depends on what.")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="steps to run, by name")
    parser.add_argument("--after", nargs="+", default=[], metavar="STEP", help="run all that stands on these")
    parser.add_argument("--list", action="store_true", help="print the steps, what they need and make, and end")
    for name, what in (("chairv2", "ChairV2"), ("quickdraw", "Quick, Draw!"), ("archives", "the packs of pictures")):
        parser.add_argument(f"--{name}", metavar="DIR", help=f"folder of {what}")
    arguments = parser.parse_args()
    unknown = [name for name in [*arguments.steps, *arguments.after] if name not in STEPS]
    if unknown:
        parser.error(f"no such step: {', '.join(unknown)}; --list names them")
    chosen = [STEPS[name] for name in arguments.steps] + (after(arguments.after) if arguments.after else [])
    if arguments.list or not chosen:
        for step in chosen or STEPS.values():
            print(f"{step.name}{' (training)' if step.training else ''}")
            print(f"  needs {', '.join(step.needs) or 'nothing'}; makes {', '.join(step.makes)}")
            for command in step.commands:
                print(f"  $ {command}")
        return
    run(chosen, {name: value for name in ("chairv2", "quickdraw", "archives") if (value := getattr(arguments, name))})


if __name__ == "__main__":
    main()
