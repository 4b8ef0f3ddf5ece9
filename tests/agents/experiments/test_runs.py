"""Many runs: rows on disk, resuming, workers and drivers that die, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from agents.algorithms import registry as algorithms
from agents.algorithms.common.training import Run, TrainConfig
from agents.algorithms.registry import ALGORITHMS, Algorithm, Loaded
from agents.algorithms.reinforce import ReinforceConfig, train_reinforce
from agents.evaluation.setting import EnvConfig
from agents.experiments import runs, workers
from agents.experiments.runs import RunsError, StoredRun
from agents.experiments.workers import Workers
from sketchcanvas_env import load_table
from sketchcanvas_env.data import SkippedDataWarning
from students.store import cards
from tests.agents.support import small, weights

SMALL: dict[str, Any] = {"total_steps": 512, "num_envs": 64, "selector": "stats", "hidden": 8}


def jobs(env: EnvConfig, seeds: int = 3) -> list[TrainConfig]:
    return [small("reinforce", env, seed=seed) for seed in range(seeds)]


def real_jobs(seeds: int = 3, algorithm: str = "reinforce") -> list[TrainConfig]:
    """On the shipped data, which other processes know too."""
    return [algorithms.make_config(algorithm, seed=seed, **SMALL) for seed in range(seeds)]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def read_all(folder: Path) -> list[StoredRun]:
    return [runs.read(file) for file in files(folder)]


def test_rows_say_what_was_trained(toy_env: EnvConfig, tmp_path: Path) -> None:
    found = runs.run_all(jobs(toy_env), tmp_path, curve_every=64)
    assert [run.config for run in found] == jobs(toy_env)
    for run in found:
        again = runs.read(tmp_path / run.name)
        assert again.config == run.config
        assert weights(again.selector.selector) == weights(algorithms.train_run(run.config).selector)
        assert [point.steps for point in run.curve] == [64, 128]
        assert run.seconds > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(f"{run.name}.safetensors" for run in found)


def test_a_run_made_with_other_defaults_is_found_for_what_it_was(toy_env: EnvConfig, tmp_path: Path) -> None:
    made = small("reinforce", toy_env, entropy_coef=0.25)
    table = toy_env.outcomes("train")
    found = runs.run_all([made, small("reinforce", toy_env, seed=1)], tmp_path, curve_every=64)
    packed = {run.name: run for run in found}
    asked = small("reinforce", toy_env)
    assert made.entropy_coef != asked.entropy_coef  # type: ignore[attr-defined]
    assert runs.find(packed, asked, table, 64, tmp_path).config == made
    assert runs.find(packed, replace(asked, seed=1), table, 64, tmp_path).config == replace(asked, seed=1)
    for other in (replace(asked, seed=2), replace(asked, env=toy_env.at(0.7)), replace(asked, total_steps=256)):
        with pytest.raises(FileNotFoundError):
            runs.find(packed, other, table, 64, tmp_path)


def test_the_last_point_is_what_the_selector_earns(toy_env: EnvConfig, tmp_path: Path) -> None:
    from agents.evaluation.evaluate import evaluate
    from agents.selectors import policy

    (run,) = runs.run_all(jobs(toy_env, 1), tmp_path, curve_every=64)
    network, task = run.selector.selector, toy_env.task("val")
    judged = evaluate(
        toy_env.outcomes("val"),
        policy.actions_of(network, task),
        selector_flops=policy.flops_of(network, task),
        resamples=10,
        **toy_env.reward_weights(),
    )
    last = run.curve[-1]
    assert (last.reward, last.acc1, last.gflops) == pytest.approx((judged.reward, judged.acc1, judged.gflops))
    assert run.curve[0].seconds < last.seconds


def test_what_is_there_is_not_trained_again(
    toy_env: EnvConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runs.run_all(jobs(toy_env, 2), tmp_path)
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    trained: list[int] = []
    train = algorithms.train_run

    def hooks(config: TrainConfig, **more: Any) -> Run:
        trained.append(config.seed)
        return train(config, **more)

    monkeypatch.setattr(algorithms, "train_run", hooks)
    again = runs.run_all(jobs(toy_env, 3), tmp_path)
    assert trained == [2]
    assert [run.name for run in again[:2]] == [run.name for run in first]
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before


def test_another_setting_is_another_row(toy_env: EnvConfig, tmp_path: Path) -> None:
    table = toy_env.outcomes("train")
    config = small("reinforce", toy_env)
    names = {
        runs.name_of(one, table, every)
        for one, every in [
            (config, 10),
            (config, 20),
            (replace(config, seed=1), 10),
            (replace(config, lr=0.5), 10),
            (replace(config, env=replace(toy_env, tradeoff=0.3)), 10),
        ]
    }
    assert len(names) == 5
    # Outcomes of another student are other outcomes, although the settings are the same.
    assert runs.name_of(config, load_table("emoji").select("train"), 10) not in names
    with pytest.raises(ValueError, match="two of the runs are the same"):
        runs.run_all([config, config], tmp_path)


def test_a_run_that_is_packed_needs_no_file(toy_env: EnvConfig, tmp_path: Path) -> None:
    (run,) = runs.run_all(jobs(toy_env, 1), tmp_path / "here")
    (again,) = runs.run_all(jobs(toy_env, 1), tmp_path / "there", packed={run.name: run})
    assert again is run
    runs.remove_files(tmp_path / "here", [run.name])
    assert not (tmp_path / "here").exists()
    assert not (tmp_path / "there").exists()


def test_a_damaged_row_is_told_of(toy_env: EnvConfig, tmp_path: Path) -> None:
    runs.run_all(jobs(toy_env, 1), tmp_path)
    [file] = files(tmp_path)
    card, tensors = cards.read(file, "selector", lambda _: 1 << 20)
    cards.write(file, tensors, {name: value for name, value in card.items() if name != "run"}, "selector")
    with pytest.raises(ValueError, match="is not a finished run: its card says nothing of the run"):
        runs.run_all(jobs(toy_env, 1), tmp_path)


def test_processes_give_what_this_one_gives(tmp_path: Path) -> None:
    here = runs.run_all(real_jobs(), tmp_path / "here")
    there = runs.run_all(real_jobs(), tmp_path / "there", workers=Workers(jobs=2))
    for one, other in zip(here, there, strict=True):
        assert one.name == other.name
        assert weights(one.selector.selector) == weights(other.selector.selector)
        assert [point.reward for point in one.curve] == [point.reward for point in other.curve]


# ---------------------------------------------------------------- workers and drivers that die


@dataclass(frozen=True)
class MortalConfig(ReinforceConfig):
    """REINFORCE whose seed 1 kills its process, the first time or every time."""

    algorithm: ClassVar[str] = "mortal"
    marker: str = ""  # a file that says that it has died once
    always: bool = False


def train_mortal(config: MortalConfig, **more: Any) -> Run:
    """As the class says."""
    if config.seed == 1 and (config.always or not Path(config.marker).exists()):
        Path(config.marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return train_reinforce(config, **more)


def load_mortal() -> Loaded:
    return MortalConfig, train_mortal


@pytest.fixture
def mortal() -> Iterator[None]:
    ALGORITHMS["mortal"] = Algorithm(load_mortal)
    yield
    del ALGORITHMS["mortal"]


def mortal_jobs(marker: Path, always: bool = False) -> list[TrainConfig]:
    return [MortalConfig(seed=seed, marker=str(marker), always=always, **SMALL) for seed in range(4)]


def test_a_worker_does_not_tell_again_what_is_left_out() -> None:
    def job() -> int:
        warnings.warn("1 of 2 sketches are left out", SkippedDataWarning, stacklevel=1)
        return 3

    with pytest.warns(SkippedDataWarning):
        job()
    assert workers._named(Path("row"), job) == (Path("row"), 3)  # type: ignore[arg-type]


def ignores_ctrl_c() -> bool:
    return signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_ctrl_c_is_not_for_workers(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    jobs: dict[Path, Any] = {tmp_path / name: ignores_ctrl_c for name in "abcdef"}
    assert dict(workers._parallel(jobs, 2)) == dict.fromkeys(jobs, True)
    assert signal.getsignal(signal.SIGINT) == before != signal.SIG_IGN


@pytest.mark.usefixtures("mortal")
def test_a_killed_worker_loses_nothing(tmp_path: Path) -> None:
    found = runs.run_all(mortal_jobs(tmp_path / "died"), tmp_path / "rows", workers=Workers(jobs=2))
    assert (tmp_path / "died").exists()
    assert [run.config.seed for run in found] == [0, 1, 2, 3]


@pytest.mark.usefixtures("mortal")
def test_a_worker_that_always_dies_is_given_up_and_the_others_kept(tmp_path: Path) -> None:
    with pytest.raises(RunsError, match=r"1 of 4 runs were lost, each with its worker 2 times"):
        runs.run_all(mortal_jobs(tmp_path / "died", always=True), tmp_path, workers=Workers(jobs=2, retries=1))
    # It takes none of the others with it, although it is among the first.
    assert {run.config.seed for run in read_all(tmp_path)} == {0, 2, 3}


def test_a_job_that_raises_is_not_tried_again(tmp_path: Path) -> None:
    bad = replace(real_jobs(1)[0], env=EnvConfig(student="nobody"))
    with pytest.raises(ValueError, match="nobody"):
        runs.run_all([bad], tmp_path)


DRIVER = """
    import os, signal, sys
    from agents.experiments import runs
    from agents.store import saved
    from agents.experiments.workers import Workers
    from tests.agents.experiments.test_runs import real_jobs

    if __name__ == "__main__":
        save, done = saved.save, []

        def save_and_die(*arguments):
            path = save(*arguments)
            done.append(path)
            if len(done) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return path

        saved.save = save_and_die
        runs.run_all(real_jobs(4), sys.argv[1], workers=Workers(jobs=int(sys.argv[2])))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_driver_goes_on_where_it_was(tmp_path: Path, workers: int) -> None:
    script = tmp_path / "driver.py"
    script.write_text(textwrap.dedent(DRIVER))
    root = Path(__file__).parents[3]
    killed = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "rows"), str(workers)],
        env={**os.environ, "PYTHONPATH": str(root)},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert killed.wait(timeout=120) == -signal.SIGKILL
    with contextlib.suppress(ProcessLookupError):
        os.killpg(killed.pid, signal.SIGKILL)  # its workers would wait for it for minutes
    kept = {file: file.stat().st_mtime_ns for file in files(tmp_path / "rows")}
    assert len(kept) == 2
    found = runs.run_all(real_jobs(4), tmp_path / "rows")
    assert [run.config.seed for run in found] == [0, 1, 2, 3]
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


# ---------------------------------------------------------------- Ray


def test_ray_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'sketchcanvas\[ray\]'"):
        runs.run_all(real_jobs(1), tmp_path, workers=Workers(engine="ray"))


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_what_this_process_gives(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    here = runs.run_all(real_jobs(2), tmp_path / "here")
    there = runs.run_all(real_jobs(2), tmp_path / "there", workers=Workers(jobs=2, engine="ray"))
    for one, other in zip(here, there, strict=True):
        assert weights(one.selector.selector) == weights(other.selector.selector)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"engine": "slurm"}, "unknown engine 'slurm'; there are local, ray"),
        ({"retries": -1}, "retries must not be negative"),
        ({"address": "auto"}, "belongs to the engine 'ray'"),
    ],
)
def test_workers_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Workers(**settings)


@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.usefixtures("mortal")
def test_a_worker_that_ray_loses_costs_its_run_only(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    where = Workers(jobs=2, engine="ray", retries=0)
    with pytest.raises(RunsError, match=r"1 of 4 runs were lost"):
        runs.run_all(mortal_jobs(tmp_path / "died"), tmp_path / "rows", workers=where)
    assert {run.config.seed for run in read_all(tmp_path / "rows")} == {0, 2, 3}
    # Called again, it does what is missing; or Ray does at once, where it may try again.
    found = runs.run_all(mortal_jobs(tmp_path / "died"), tmp_path / "rows", workers=where)
    assert [run.config.seed for run in found] == [0, 1, 2, 3]
