"""Where jobs run: in this process, in others on this machine (joblib), or on a Ray cluster."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.algorithms import registry as algorithms
from agents.algorithms.common.curves import Curve, CurvePoint
from agents.algorithms.common.training import Run, TrainConfig
from agents.algorithms.registry import Algorithm
from sketchcanvas_env.data import SkippedDataWarning

ENGINES = ("local", "ray")

Start = Callable[[str, int], Callable[[int], None]]
"""Starts a progress bar of a title and a total, and gives the function that says how much is done."""


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
class Job:
    """All that a worker needs, small enough to pickle cheaply."""

    algorithm: Algorithm
    config: TrainConfig
    curve_every: int
    logdir: Path | None

    def __call__(self, on_progress: Callable[[int], None] | None = None) -> tuple[Run, tuple[CurvePoint, ...]]:
        """Train, and give the run with its learning curve."""
        # A worker has imported this package anew and knows no algorithm that was added from outside.
        algorithms.known(self.config.env).setdefault(self.config.algorithm, self.algorithm)
        curve = Curve(self.config.env, self.curve_every)
        run = algorithms.train_run(self.config, curve=curve, on_progress=on_progress, logdir=self.logdir)
        return run, tuple(curve.points)


def finished(
    jobs: dict[Path, Job], where: Workers, start_bar: Start | None
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


def _in_processes(jobs: dict[Path, Job], where: Workers) -> Iterator[tuple[Path, Any]]:
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


def _parallel(jobs: dict[Path, Job], at_once: int) -> Iterator[tuple[Path, Any]]:
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


def _on_ray(jobs: dict[Path, Job], where: Workers) -> Iterator[tuple[Path, Any]]:
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


def _named(row: Path, job: Job) -> tuple[Path, Any]:
    """A job's result, with its row, in a process of its own: what is left out of its data was told where it began."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedDataWarning)
        return row, job()
