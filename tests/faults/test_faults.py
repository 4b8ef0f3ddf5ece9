"""Full disks, vanishing files, racing writers, kill -9: nothing half-written is read as whole, work goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.experiments import runs
from sketchcanvas_env import data
from sketchcanvas_env.outcomes.finding import available_tables
from sketchcanvas_env.outcomes.table import OutcomeTable
from sketchcanvas_env.storage.files import atomic_write
from sketchcanvas_env.storage.npz import write_mapped
from students.store import checkpoint, weights
from students.tables.tabulate import tabulate
from tests.faults.victim import STAGES, built, trained
from tests.helpers import TOY, Pixels, qmul_arrays, toy_dataset, toy_table, write_qmul
from tests.hostile.readers import READERS, write

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------------------------------------ a full disk


def _save_text(path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("x" * 100_000)


def _save_table(path: Path) -> None:
    toy_table().save(path)


def _save_mapped(path: Path) -> None:
    write_mapped(path, {"n": np.arange(100_000)})


def _save_checkpoint(path: Path) -> None:
    checkpoint.save(path, {"w": torch.ones(100_000)}, {"config": {}})


def _save_student(path: Path) -> None:
    weights.save_student(weights.load_student(write(READERS["student"], path.parent)), path, {})


SAVERS: dict[str, Callable[[Path], None]] = {
    "a.txt": _save_text,
    "a.npz": _save_table,
    "mapped.npz": _save_mapped,
    "a.safetensors": _save_checkpoint,
    "student.safetensors": _save_student,
}


@contextmanager
def small_files() -> Iterator[None]:
    """The system refuses any file over 4 KB, in the midst of a write; for no longer than it takes, as this is true of
    the tests' own log as well.
    """
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", SAVERS)
@pytest.mark.parametrize("when", ["writing", "flushing"])
def test_a_full_disk_leaves_the_old_file_and_names_the_new(
    name: str, when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    SAVERS[name](path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if name == "student.safetensors":  # its good files are written again by the saver, so give it them loaded
        student = weights.load_student(path)
        again: Callable[[Path], object] = lambda place: weights.save_student(student, place, {"x": 1})  # noqa: E731
    else:
        again = SAVERS[name]
    if when == "flushing":
        monkeypatch.setattr(os, "fsync", full)
    with small_files() if when == "writing" else nullcontext(), pytest.raises(OSError, match=name) as caught:
        again(path)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


# ------------------------------------------------------------------------------------------------ files that vanish


def test_a_table_that_vanishes_is_missed_by_name(tmp_path: Path) -> None:
    path = toy_table().save(tmp_path / "t.npz")
    OutcomeTable.load_cached(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"t\.npz"):
        OutcomeTable.load_cached(path)


def test_a_photo_that_vanishes_during_a_build_stops_it_by_name(tmp_path: Path) -> None:
    dataset = data.load("chairv2", write_qmul(tmp_path, qmul_arrays()))
    photo = dataset.gallery("test")[0]
    (tmp_path / "photo" / f"{photo}.png").unlink()
    with pytest.raises(ValueError, match=rf"{photo}\.png: no such file"):
        tabulate(Pixels(), dataset)


# ------------------------------------------------------------------------------------------------------------ kill -9


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder that each victim left when it was killed, two at a time."""
    folders = {stage: tmp_path_factory.mktemp("victim") for stage in STAGES if stage != "build"}
    stages = list(folders)
    for pair in zip(stages[::2], stages[1::2], strict=True):
        victims = [_start(stage, folders[stage]) for stage in pair]
        for stage, victim in zip(pair, victims, strict=True):
            assert victim.wait(timeout=120) == -signal.SIGKILL, stage
    return folders


def _start(stage: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.victim", stage, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("stage", ["embedding", "writing"])
def test_a_killed_build_leaves_no_table_and_the_next_one_makes_it(killed: dict[str, Path], stage: str) -> None:
    folder = killed[f"tabulate, {stage}"]
    assert len(_leftovers(folder)) == (stage != "embedding")
    assert available_tables(folder) == {}
    built().save(folder / "toy-pixels.npz")
    assert available_tables(folder) == {"toy": ["pixels"]}
    assert OutcomeTable.load(folder / "toy-pixels.npz").hash == built().hash


@pytest.mark.parametrize("stage", ["learning", "writing"])
def test_a_killed_training_goes_on_as_if_nothing_had_been(
    killed: dict[str, Path], stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(data.DATASETS, TOY, toy_dataset)
    folder = killed[f"train, {stage}"]
    assert len(_leftovers(folder)) == (stage != "learning")
    assert (folder / "checkpoint.safetensors").exists()
    again, whole = trained(folder, resume=True), trained(tmp_path)
    assert again.steps == whole.steps
    for name, tensor in whole.selector.state_dict().items():
        assert torch.equal(again.selector.state_dict()[name], tensor), name


def test_leftovers_of_weights_are_not_taken_for_weights(tmp_path: Path) -> None:
    path = write(READERS["selector"], tmp_path)
    half = path.read_bytes()[:100]
    (tmp_path / ".hostile.k3j2.tmp.safetensors").write_bytes(half)
    (tmp_path / ".hostile.k3j2.tmp.json").write_bytes(b"{")
    assert weights.weights_path(tmp_path) == path
    assert [runs.read(file).name for file in sorted(tmp_path.glob("[!.]*.safetensors"))] == ["hostile"]


# ----------------------------------------------------------------------------------------------------- two builders


def test_two_processes_that_build_one_table_leave_it_whole_at_any_time(tmp_path: Path) -> None:
    expected = built().hash
    builders = [_start("build", tmp_path) for _ in range(2)]
    path, read = tmp_path / "toy-pixels.npz", 0
    until = time.monotonic() + 120
    while any(builder.poll() is None for builder in builders):
        assert time.monotonic() < until
        if path.exists():
            assert OutcomeTable.load(path).hash == expected
            read += 1
        time.sleep(0.005)
    assert [builder.returncode for builder in builders] == [0, 0]
    assert read > 0 and OutcomeTable.load(path).hash == expected
    assert [file.name for file in tmp_path.iterdir()] == ["toy-pixels.npz"]
