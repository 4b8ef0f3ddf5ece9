"""Many training runs: each is a job of its own, and a finished one is a row on disk that is never computed again.

A row is a saved selector (`agents.store.saved`): NAME.safetensors and NAME.json, whose `run` says how long it took and
what
it earned on `val` meanwhile. The name holds a hash of everything that the result depends on, so the same command goes
on where a killed one stopped, and another setting or another table never takes an old row for its own.

Where the jobs run is no concern of theirs: in this process, in others on this machine (joblib), or on a Ray cluster.
A worker that dies loses its job, not the rows; the job is tried again, alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.algorithms import registry as algorithms
from agents.algorithms.common.curves import Curve, CurvePoint
from agents.algorithms.common.training import Run, TrainConfig
from agents.algorithms.registry import Algorithm
from agents.evaluation.setting import EnvConfig, env_from_json
from agents.store import saved
from agents.store.saved import SavedSelector
from sketchcanvas_env.data import SkippedDataWarning
from sketchcanvas_env.outcomes.table import OutcomeTable

TRAIN_SPLIT = "train"
ENGINES = ("local", "ray")


class RunsError(RuntimeError):
    """Runs that could not be finished although they were tried again; what did finish is on disk."""


@dataclass(frozen=True)
class Workers:
    """Where jobs run."""

    jobs: int = 1  # at once; 1 with the engine "local" means in this very process
    engine: str = "local"  # "local": processes of this machine; "ray": a Ray cluster (extra 'ray')
    address: str | None = None  # of a Ray cluster, "auto" for the one around; None starts one on this machine
    retries: int = 2  # more attempts at a job whose worker died; a job that raises is not tried again

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: a field out of its range.
        """
        if self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, got {self.jobs}")
        if self.engine not in ENGINES:
            raise ValueError(f"unknown engine {self.engine!r}; there are {', '.join(ENGINES)}")
        if self.retries < 0:
            raise ValueError(f"retries must not be negative, got {self.retries}")
        if self.address is not None and self.engine != "ray":
            raise ValueError("an address belongs to the engine 'ray'")


@dataclass(frozen=True)
class StoredRun:
    """A finished run, as read from its row.

    Attributes:
        path: of the row, without ending.
        config: what was asked for.
        selector: the trained selector.
        seconds: wall-clock time of the training, evaluations for the curve left out.
        curve: what the selector earned on `val` in the course of it.
    """

    path: Path
    config: TrainConfig
    selector: SavedSelector
    seconds: float
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True)
class _Job:
    """All that a worker needs, of the size of a postcard."""

    algorithm: Algorithm
    config: TrainConfig
    curve_every: int
    logdir: Path | None

    def __call__(self, on_progress: Callable[[int], None] | None = None) -> tuple[Run, tuple[CurvePoint, ...]]:
        # A worker has imported this package anew and knows no algorithm that was added from outside.
        algorithms.known(self.config.env).setdefault(self.config.algorithm, self.algorithm)
        curve = Curve(self.config.env, self.curve_every)
        run = algorithms.train_run(self.config, curve=curve, on_progress=on_progress, logdir=self.logdir)
        return replace(run, seconds=run.seconds - curve.spent), tuple(curve.points)


def name_of(config: TrainConfig, table: OutcomeTable, curve_every: int) -> str:
    """A run's name: algorithm, network and seed for people, and a hash of what the result depends on.

    Args:
        config: all settings, seed included.
        table: the outcomes that it learns from.
        curve_every: steps between two points of its learning curve.
    """
    parts = [config.to_json(), table.hash, table.dataset_hash, curve_every, *config.env.extra_hashes().values()]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
    return f"{config.algorithm}-{config.selector}-{config.seed}-{digest}"


def run_all(
    configs: Sequence[TrainConfig],
    folder: str | Path,
    *,
    workers: Workers | None = None,
    curve_every: int = 2_560,
    start_bar: Callable[[str, int], Callable[[int], None]] | None = None,
    logdir: Path | None = None,
) -> list[StoredRun]:
    """Finish all runs: those that have no row in `folder` yet are trained, and written as soon as they end.

    Args:
        configs: the runs, each with settings of its own.
        folder: where the rows are.
        workers: where to train, None for this process.
        curve_every: environment steps between two points of a learning curve.
        start_bar: starts a progress bar (`progress.bars`), None for none.
        logdir: TensorBoard folder with one folder a run, None for none.

    Returns:
        The runs in the order of `configs`.

    Raises:
        ValueError: two equal runs, or settings that cannot be trained with.
        RunsError: workers died again and again; the message says how many runs are left.
        ImportError: the engine "ray" without the package.
    """
    where = workers or Workers()
    rows = [Path(folder) / name_of(config, _outcomes(config), curve_every) for config in configs]
    if len(set(rows)) != len(rows):
        raise ValueError("two of the runs are the same: give each a seed or a setting of its own")
    jobs = {
        row: _Job(
            algorithms.find(config.algorithm, config.env),
            config,
            curve_every,
            None if logdir is None else logdir / row.name,
        )
        for row, config in zip(rows, configs, strict=True)
    }
    left = {row: job for row, job in jobs.items() if not _is_there(row)}
    tell = start_bar("runs", len(jobs)) if start_bar is not None else lambda done: None
    tell(len(jobs) - len(left))
    for row, (run, curve) in _finished(left, where, start_bar):
        saved.save(row, run, _outcomes(run.config), curve)
        del left[row]
        tell(len(jobs) - len(left))
    if left:
        raise RunsError(
            f"{len(left)} of {len(jobs)} runs were lost, each with its worker {where.retries + 1} times; the others "
            f"are in {folder}, and the same command goes on from there"
        )
    return [read(row) for row in rows]


def find(folder: Path, config: TrainConfig, table: OutcomeTable, curve_every: int) -> StoredRun:
    """The stored run of these settings.

    Where there is none, it is that of the same algorithm, network, seed, environment and budget whose other settings
    were the defaults of an earlier version: a stored comparison does not name them, but its runs do.

    Args:
        folder: of the runs.
        config: all settings, seed included.
        table: the outcomes that it learnt from.
        curve_every: steps between two points of its learning curve.

    Raises:
        FileNotFoundError: no such run.
        ValueError: a damaged one.
    """
    exact = folder / name_of(config, table, curve_every)
    if not _is_there(exact):
        for path in sorted(folder.glob(f"{config.algorithm}-{config.selector}-{config.seed}-*.safetensors")):
            run = read(path)
            if (run.config.env, run.config.total_steps) == (config.env, config.total_steps):
                return run
    return read(exact)


def read(path: str | Path) -> StoredRun:
    """A stored run.

    Raises:
        FileNotFoundError: no such row.
        ValueError: a damaged row, or a selector that was saved on its own and says nothing of its run.
    """
    selector = saved.load(path)
    told = selector.card.get("run")
    try:
        if not isinstance(told, dict):
            raise ValueError("its card says nothing of the run")
        settings = {**selector.card["config"]}
        config = algorithms.make_config(settings.pop("algorithm"), env=env_from_json(settings.pop("env")), **settings)
        curve = tuple(CurvePoint(**point) for point in told["curve"])
        return StoredRun(saved.stem(path), config, selector, float(told["seconds"]), curve)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no row of a finished run: {error}") from None


def read_all(folder: str | Path) -> list[StoredRun]:
    """Every row of a folder, by name.

    Raises:
        FileNotFoundError: no such folder, or none with rows.
        ValueError: a damaged row.
    """
    rows = sorted(Path(folder).glob("[!.]*.safetensors"))
    if not rows:
        raise FileNotFoundError(f"there are no stored runs in {folder}")
    return [read(row) for row in rows]


def stored_outcomes(env: EnvConfig, folder: str | Path) -> OutcomeTable:
    """The outcomes that stored runs were trained on.

    Args:
        env: their environment, as the result in `folder` names it.
        folder: of the comparison or sweep.

    Raises:
        FileNotFoundError: no such table or data set; where paths are relative, the message says from where they lead.
        ValueError: as `EnvConfig.outcomes`.
    """
    try:
        return env.outcomes(TRAIN_SPLIT)
    except FileNotFoundError as error:
        named = [path for path in (env.table, env.dataset.partition(":")[2]) if path]
        relative = [path for path in named if not Path(path).expanduser().is_absolute()]
        if not relative:
            raise
        raise FileNotFoundError(
            f"{error}; {folder} names {' and '.join(relative)} as seen from where it was made: run this command there"
        ) from None


def _outcomes(config: TrainConfig) -> OutcomeTable:
    return config.env.outcomes(TRAIN_SPLIT)


def _is_there(row: Path) -> bool:
    """Whether a row can be read; the card is written last, so a run that was cut short has none."""
    if not row.with_suffix(".json").exists():
        return False
    read(row)  # a damaged one is told of, not overwritten
    return True


def _finished(
    jobs: dict[Path, _Job], where: Workers, start_bar: Callable[[str, int], Callable[[int], None]] | None
) -> Iterator[tuple[Path, tuple[Run, tuple[CurvePoint, ...]]]]:
    """Results as they come, in any order, but for jobs that were lost with their workers."""
    # What is asked for is copied: the caller takes finished jobs out of its own.
    jobs = dict(jobs)
    if where.engine == "ray":
        yield from _on_ray(jobs, where)
    elif where.jobs == 1:
        for row, job in jobs.items():
            bar = start_bar(row.name, job.config.total_steps) if start_bar is not None else None
            yield row, job(bar)
    else:
        yield from _in_processes(jobs, where)


def _in_processes(jobs: dict[Path, _Job], where: Workers) -> Iterator[tuple[Path, Any]]:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting = dict(jobs)
    while waiting:
        try:
            for row, result in _parallel(waiting, where.jobs):
                del waiting[row]
                yield row, result
        except TerminatedWorkerError:
            # One death ends the whole pool and does not say whose it was. Jobs start in order, so it was one of the
            # first: each of these goes on alone, where it can take no other with it.
            for row in list(waiting)[: where.jobs]:
                suspect = {row: waiting.pop(row)}
                for _ in range(where.retries):
                    try:
                        yield from _parallel(suspect, 1)
                        break
                    except TerminatedWorkerError:
                        continue


def _parallel(jobs: dict[Path, _Job], at_once: int) -> Iterator[tuple[Path, Any]]:
    """Results of jobs in processes of their own, as they come."""
    from joblib import Parallel, delayed

    # One job at a time to a worker: they take seconds to minutes, and a lost batch would be several lost runs. With
    # n_jobs=1 joblib would stay in this process. Only what its queue of calls has room for is handed over at a time:
    # what waits before that queue when Ctrl-C comes, joblib's thread looks for in vain, and prints a traceback.
    parallel = Parallel(
        n_jobs=max(2, at_once), backend="loky", return_as="generator_unordered", batch_size=1, pre_dispatch="2 * n_jobs"
    )
    with _ctrl_c_ignored():
        # A copy: joblib's thread takes from it while the caller takes finished jobs out of its own.
        results = parallel([delayed(_named)(row, job) for row, job in jobs.items()])
    yield from results


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Processes that are started meanwhile ignore Ctrl-C for good.

    A terminal sends it to all processes of a command, but it is for the one that they work for, which ends them: they
    would print tracebacks.
    """
    if threading.current_thread() is not threading.main_thread():  # others cannot say what becomes of a signal
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _on_ray(jobs: dict[Path, _Job], where: Workers) -> Iterator[tuple[Path, Any]]:
    try:
        import ray
    except ImportError:
        raise ImportError("the engine 'ray' needs the package ray: pip install 'sketchcanvas[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        local: dict[str, Any] = {"num_cpus": where.jobs, "include_dashboard": False} if where.address is None else {}
        ray.init(address=where.address, log_to_driver=False, logging_level=logging.ERROR, **local)
    try:
        # Ray tries a task again itself when its worker dies, and spreads one CPU's worth of work to each CPU.
        work = ray.remote(max_retries=where.retries, num_cpus=1)(_named)
        waiting = [work.remote(row, job) for row, job in jobs.items()]
        while waiting:
            done, waiting = ray.wait(waiting, num_returns=1)
            try:
                yield ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError:
                continue  # this one is lost; the others are not
    finally:
        if ours:
            ray.shutdown()


def _named(row: Path, job: _Job) -> tuple[Path, Any]:
    """A job's result, with its row, in a process of its own: what is left out of its data was told where it began."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedDataWarning)
        return row, job()
