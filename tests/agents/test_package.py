"""The package as a whole: fast to import, complete when installed, progress on stderr, readable logs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from setuptools import find_packages

import agents
from agents.algorithms import registry as algorithms
from agents.algorithms.common.tensorboard import batch_scalars
from agents.cli import progress
from agents.evaluation.setting import EnvConfig
from agents.store import provenance
from tests.agents.support import ALGORITHMS, small
from tests.helpers import Toy

ROOT = Path(agents.__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_importing_it_loads_neither_torch_nor_sb3() -> None:
    code = (
        "import sys, agents; heavy = {'torch', 'stable_baselines3', 'scipy', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy; assert 'load' in dir(agents)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_public_name_is_there() -> None:
    for name in agents.__all__:
        assert getattr(agents, name) is not None
    assert set(agents.__all__) <= set(dir(agents))
    with pytest.raises(AttributeError, match="no attribute 'dance'"):
        agents.dance  # noqa: B018


def test_every_folder_of_code_is_installed() -> None:
    listed = set(find_packages(str(ROOT), include=SETTINGS["tool"]["setuptools"]["packages"]["find"]["include"]))
    rooms = ("sketchcanvas_env", "students", "agents")
    found = {file.parent.relative_to(ROOT) for room in rooms for file in (ROOT / room).rglob("*.py")}
    assert listed == {".".join(folder.parts) for folder in found}


def shipped() -> list[Path]:
    """The files that `package-data` matches, relative to the root."""
    packages = SETTINGS["tool"]["setuptools"]["package-data"]
    return [
        file.relative_to(ROOT)
        for package, patterns in packages.items()
        for pattern in patterns
        for file in sorted((ROOT / package).glob(pattern))
    ]


def test_weights_and_data_that_are_shipped_have_a_licence() -> None:
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    binary = [file for file in shipped() if file.suffix in (".safetensors", ".npz", ".zip")]
    assert {file.parts[0] for file in binary} == {"sketchcanvas_env", "students", "agents"}
    for file in binary:
        assert any(f"`{named.as_posix()}`" in licence for named in (file, *file.parents)), file
    for name in re.findall(r"`([^`]+)`", licence):
        assert (ROOT / name).exists(), name


def test_the_texts_of_the_licences_are_shipped() -> None:
    files = {file for pattern in SETTINGS["project"]["license-files"] for file in ROOT.glob(pattern)}
    assert {ROOT / "LICENSE", ROOT / "LICENSE-apache-2.0.txt"} < files
    assert ROOT / "sketchcanvas_env" / "data" / "emoji_files" / "LICENSE-openmoji.txt" in files
    # As https://www.apache.org/licenses/LICENSE-2.0.txt has it; git may have written the ends of lines anew.
    apache = (ROOT / "LICENSE-apache-2.0.txt").read_bytes().replace(b"\r\n", b"\n")
    assert sha256(apache).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for name in SETTINGS["project"]["license"].split(" AND "):
        assert name in licence, name


def test_a_source_distribution_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    if not (ROOT / ".git").exists():
        pytest.skip("only a checkout knows which files are the project's")
    git = ["git", "-c", "core.quotepath=off", "ls-files"]
    tracked = set(subprocess.run(git, check=True, cwd=ROOT, capture_output=True, text=True).stdout.splitlines())
    listing = [sys.executable, "-c", "from setuptools import setup; setup()", "-q", "egg_info", "--egg-base", tmp_path]
    subprocess.run(listing, check=True, cwd=ROOT, capture_output=True)
    text = (tmp_path / "sketchcanvas.egg-info" / "SOURCES.txt").read_text(encoding="utf-8")
    assert tracked - set(text.splitlines()) == {".gitignore"}
    assert not [line for line in text.splitlines() if line.endswith(".pyc")]


def test_bars_are_drawn_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bars() as start:
        advance = start("a title", 10)
        advance(10)
    out, err = capsys.readouterr()
    assert out == ""
    assert "a title" in err
    assert "10/10" in err


def test_provenance_names_the_table(toy: Toy) -> None:
    assert provenance.of_table(toy.table)["table_hash"] == toy.table.hash
    assert provenance.versions()["numpy"] == np.__version__


@pytest.mark.parametrize("cost", ["flops", "latency"])
def test_the_environment_is_that_of_the_settings(toy: Toy, cost: str) -> None:
    toy_env = EnvConfig(**toy.kwargs, cost=cost)  # type: ignore[arg-type]
    env = toy_env.make_vec(3, "val")
    rewards = toy_env.outcomes("val").rewards(**toy_env.reward_weights())
    assert env.unwrapped.canvases == (16, 32, 64, 128)  # type: ignore[attr-defined]
    assert env.num_envs == 3
    # Row by row, what the environment looks up is what evaluation looks up.
    task = toy_env.task("val")
    for row in range(len(task)):
        obs, _ = env.reset(options={"index": row})
        assert np.array_equal(obs["points"][1], task.points[row])
        assert np.array_equal(obs["stats"][1], task.stats[row])
        _, earned, _, _, infos = env.step(np.array([0, 2, 3]))
        final = infos["final_info"]
        assert earned.tolist() == rewards[row, [0, 2, 3]].tolist()
        assert final["cost"].tolist() == toy.table.costs(cost)[[0, 2, 3]].tolist()
        assert final["rank"].tolist() == toy_env.outcomes("val").ranks[row, [0, 2, 3]].tolist()
    with pytest.raises(ValueError, match="num_envs must be at least 1"):
        toy_env.make_vec(0)


def test_the_scalars_of_a_batch_by_hand() -> None:
    final = {
        "rank": np.array([1, 2, 1, 9]),
        "flops": np.array([1e9, 3e9, 1e9, 1e9]),
        "canvas": np.array([32, 64, 32, 32]),
        "regret": np.array([0.0, 0.5, 0.0, 0.1]),
    }
    rewards = np.array([1.0, 0.0, 0.5, 0.5])
    everyone = {f"_{name}": np.ones(4, dtype=bool) for name in final}
    assert batch_scalars({**final, **everyone}, rewards) == pytest.approx(
        {
            "batch/reward": 0.5,
            "batch/acc1": 0.5,
            "batch/student_gflops": 1.5,
            "batch/regret": 0.15,
            "share/32": 0.75,
            "share/64": 0.25,
        }
    )
    # In a cascade some episodes go on, and what an episode earned is its return.
    some = {f"_{name}": np.array([True, True, False, False]) for name in final}
    returns = {"return": np.array([0.7, 0.1, 0.0, 0.0])}
    assert batch_scalars({**final, **returns, **some}, rewards) == pytest.approx(
        {
            "batch/reward": 0.4,
            "batch/acc1": 0.5,
            "batch/student_gflops": 2.0,
            "batch/regret": 0.25,
            "share/32": 0.5,
            "share/64": 0.5,
        }
    )
    assert batch_scalars({}, rewards) == {}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_runs_leave_curves(toy_env: EnvConfig, tmp_path: Path, algorithm: str) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    algorithms.train_run(small(algorithm, toy_env, total_steps=160, log_every=2), logdir=tmp_path)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    for name in ("batch/reward", "batch/acc1", "batch/regret", "batch/student_gflops"):
        rows = events.Scalars(name)
        assert [row.step for row in rows] == [64, 128], name
    low, high = toy_env.make_vec(1).unwrapped.reward_range  # type: ignore[attr-defined]
    assert all(low <= row.value <= high for row in events.Scalars("batch/reward"))
