"""The page of speeds: every figure is a ratio of two things measured in turns in one run.

    python -m tests.benchmarks.speed

writes agents/results/speed.json and speed.md. It takes about ten minutes on two idle cores; with names of `PARTS` it
measures these and leaves the other figures in the files as they are.

Two things that are compared take turns, `ROUNDS` times, and the median of the ratios counts. Where one thread does the
work, its processor time is measured, which other work on the machine changes little; where several do, or a client
waits, it is the time on the clock, and the machine should have nothing else to do: the load before the run is noted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from agents.reports.tables import Table, markdown
from sketchcanvas_env.data import load
from sketchcanvas_env.storage.files import read_json, write_json, write_text
from students.store.provenance import commit
from students.tables.latency import machine

OUT = Path(__file__).parents[2] / "agents" / "results" / "speed"
ROUNDS = 5
CORES = os.cpu_count() or 1
SKETCHES = 64
PHOTOS = 256
MILLION = 295
"""Repetitions of the embedded sketches that make a million."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """One ratio.

    Attributes:
        part: a name of `PARTS`.
        what: what is compared.
        ratio: median of the rounds.
        aim: bound of the ratio, such as "<= 0.4"; empty where there is none.
        least: smallest ratio of a round.
        most: largest ratio of a round.
        of: the two measured values, in words with their units.
    """

    part: str
    what: str
    ratio: float
    aim: str
    least: float
    most: float
    of: str


def figure(part: str, what: str, first: ArrayLike, second: ArrayLike, aim: str, of: str) -> Figure:
    """The ratio of two series of rounds; `of` may have {0} and {1} for their medians."""
    ratios = np.asarray(first, dtype=float) / np.asarray(second, dtype=float)
    told = of.format(*(float(np.median(np.asarray(each))) for each in (first, second)))
    return Figure(part, what, float(np.median(ratios)), aim, float(ratios.min()), float(ratios.max()), told)


def in_turns(work: Mapping[str, Callable[[], object]], clock: Clock, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each piece of work in each round, after one round that does not count."""
    spent: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, do in work.items():
            start = clock()
            do()
            if turn:
                spent[name].append(clock() - start)
    return spent


# ---------------------------------------------------------------- the parts


def cold() -> list[Figure]:
    """Commands in processes of their own, beside `import torch`."""
    with tempfile.TemporaryDirectory() as folder:
        drawing = Path(folder) / "drawing.svg"
        drawing.write_text(load("emoji").sketch(0).to_svg(), encoding="utf-8")
        programs = {
            "import torch": (["-c", "import torch"], "", ""),
            "import sketchcanvas_env": (["-c", "import sketchcanvas_env"], "", ""),
            "sketchcanvas --help": (["-m", "agents", "--help"], "", ""),
            "sketchcanvas query FILE": (["-m", "agents", "query", str(drawing)], "<= 0.4", ""),
        }
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        memory: dict[str, list[float]] = {name: [] for name in programs}
        for turn in range(ROUNDS + 1):
            for name, (arguments, *_) in programs.items():
                spent, used = process(arguments)
                if turn:
                    seconds[name].append(spent)
                    memory[name].append(used)
    torch = "import torch"
    found = [
        figure(
            "cold",
            f"{name}, processor time of {torch}",
            seconds[name],
            seconds[torch],
            aim,
            "{0:.2f} s, {1:.2f} s",
        )
        for name, (_, aim, _) in programs.items()
        if name != torch
    ]
    query = "sketchcanvas query FILE"
    of = "{0:.0f} MB, {1:.0f} MB"
    return [*found, figure("cold", f"{query}, memory of {torch}", memory[query], memory[torch], "", of)]


WATCH = """
import os, sys
null = os.open(os.devnull, os.O_WRONLY)
actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=actions)
_, status, usage = os.wait4(child, 0)
print(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)
"""
"""Starts a program from a small process: a program's most memory counts from that of the process that started it."""


def process(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds of processor time, user and system, of a Python program, and its most memory in MB."""
    command = [sys.executable, "-S", "-c", WATCH, sys.executable, *arguments]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    status, seconds, memory = map(float, told.split())
    if status:
        raise RuntimeError(f"{arguments} ended with status {status:.0f}")
    return seconds, memory


def query() -> list[Figure]:
    """A whole search on one thread."""
    from agents.search.pipeline import Pipeline
    from sketchcanvas_env.sketches.raster import rasterise_batch

    pipeline = Pipeline.load("emoji-test", threads=1)
    largest, smallest = pipeline.student.canvases[-1], pipeline.student.canvases[0]
    fixed = pipeline.at(largest)
    sketches = _sketches()
    chosen = [pipeline.search(sketch).canvas for sketch in sketches]
    spent: dict[str, list[float]] = {name: [] for name in ("whole", "student", "fixed", "smallest")}
    for _ in range(ROUNDS):
        turns: dict[str, list[float]] = {name: [] for name in spent}
        for sketch, canvas in zip(sketches, chosen, strict=True):
            raster, small = rasterise_batch([sketch], canvas), rasterise_batch([sketch], smallest)
            work: dict[str, Callable[[], object]] = {
                "whole": lambda sketch=sketch: pipeline.search(sketch),  # type: ignore[misc]
                "student": lambda raster=raster: pipeline.student.embed_rasters(raster),  # type: ignore[misc]
                "fixed": lambda sketch=sketch: fixed.search(sketch),  # type: ignore[misc]
                "smallest": lambda small=small: pipeline.student.embed_rasters(small),  # type: ignore[misc]
            }
            for name, do in work.items():
                start = time.process_time()
                do()
                turns[name].append(1e3 * (time.process_time() - start))
        for name, values in turns.items():
            spent[name].append(float(np.median(values)))
    of = "{0:.2f} ms, {1:.2f} ms of a processor"
    whole, alone, every, floor = spent.values()
    return [
        figure("query", f"search by the selector / at {largest} px", whole, every, "<= 0.4", of),
        figure("query", "search by the selector / the student alone", whole, alone, "<= 1.3", of),
        figure("query", f"the floor: the student at {smallest} px / search at {largest} px", floor, every, "", of),
    ]


def _sketches() -> list[Any]:
    dataset = load("emoji")
    rows = dataset.indices("val")
    return [dataset.sketch(int(row)) for row in rows[:: len(rows) // SKETCHES][:SKETCHES]]


def throughput() -> list[Figure]:
    """Pictures indexed and sketches searched on all cores, beside the network on pictures that are ready."""
    from PIL import Image

    from agents.search.pipeline import Pipeline
    from sketchcanvas_env.sketches.raster import rasterise_batch
    from students.onnx import graphs
    from students.search.building import build

    dataset = load("emoji")
    names = dataset.gallery("student")[:PHOTOS].tolist()
    photos = np.stack([dataset.photo(name) for name in names])
    wide, narrow = graphs.embedder("emoji", threads=CORES), graphs.embedder("emoji", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        for place, name in enumerate(names):
            Image.fromarray(photos[place]).save(pictures / f"{name}.{('png', 'jpg', 'webp')[place % 3]}", quality=90)
        made = 0

        def index() -> None:
            nonlocal made
            made += 1
            build(narrow, "emoji", pictures, Path(folder) / f"{made}", threads=CORES)

        images = in_turns({"network": lambda: wide.embed_photos(photos), "index": index}, time.perf_counter)
    pipeline = Pipeline.load("emoji-test", threads=1)
    sketches = _sketches() * 4
    rooms: dict[int, list[Any]] = {}
    for sketch, answer in zip(sketches, pipeline.search_many(sketches), strict=True):
        rooms.setdefault(answer.canvas, []).append(sketch)
    rasters = [rasterise_batch(group, side) for side, group in rooms.items()]
    searches = in_turns(
        {
            "network": lambda: [wide.embed_rasters(one) for one in rasters],  # type: ignore[attr-defined]
            "query": lambda: pipeline.search_many(sketches, threads=CORES),
        },
        time.perf_counter,
    )
    rates = {name: [PHOTOS / one for one in seconds] for name, seconds in images.items()}
    asked = {name: [len(sketches) / one for one in seconds] for name, seconds in searches.items()}
    return [
        figure(
            "throughput",
            f"photos: index / the network alone, {CORES} cores",
            rates["index"],
            rates["network"],
            ">= 0.9",
            "{0:.0f} and {1:.0f} a second",
        ),
        figure(
            "throughput",
            f"sketches: searches together / the network alone, {CORES} cores",
            asked["query"],
            asked["network"],
            ">= 0.9",
            "{0:.0f} and {1:.0f} a second",
        ),
    ]


def page() -> list[Figure]:
    """Sixteen clients on the page beside one."""
    from tests.benchmarks.load_demo import demo, run

    with demo() as (url, number):
        seen = asyncio.run(run(url, number, 16, 5.0, ROUNDS))
    if seen["errors"]:
        raise RuntimeError(f"{seen['errors']} errors, such as {seen['first_errors']}")
    of = f"{seen['p95_ms']:.0f} ms, {seen['p50_ms_of_one_client']:.1f} ms; none of {seen['searches']:,} was refused"
    ratios = seen["ratios"]
    what = "p95 of 16 clients / p50 of one client"
    return [figure("page", what, ratios, np.ones(len(ratios)), "<= 3", of)]


def training() -> list[Figure]:
    """PPO through the adapter beside SB3's own road, and vector environments beside a copy of what they show."""
    import gymnasium as gym
    from stable_baselines3 import PPO
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    from agents.algorithms import registry as algorithms
    from agents.algorithms.common.training import first_selector, pinned_threads, preserved_generators
    from agents.algorithms.sb3.ppo import PPOConfig, ppo_settings
    from agents.evaluation.setting import ENV_ID, EnvConfig

    env = EnvConfig()
    env.task("train")
    config = algorithms.make_config("ppo", env=env, selector="stats", total_steps=20 * 256)
    assert isinstance(config, PPOConfig)
    kwargs = env.kwargs("train")

    def make() -> Any:
        return Monitor(gym.make(ENV_ID, **kwargs))

    def own_road() -> None:
        with pinned_threads(1), preserved_generators():
            selector = first_selector(config, config.env.make_vec(2))
            road = DummyVecEnv([make] * config.num_envs)
            PPO("MultiInputPolicy", road, **ppo_settings(config, selector)).learn(config.total_steps)

    def defaults() -> None:
        with pinned_threads(1), preserved_generators():
            PPO("MultiInputPolicy", DummyVecEnv([make] * 8), seed=0, device="cpu", n_steps=640).learn(
                config.total_steps
            )

    work = {"ours": lambda: algorithms.train_run(config), "own": own_road, "defaults": defaults}
    spent = in_turns(work, time.process_time, 3)
    rates = {name: [config.total_steps / one for one in seconds] for name, seconds in spent.items()}
    of = "{0:,.0f} and {1:,.0f} steps a second"
    found = [
        figure("training", "PPO: the adapter / DummyVecEnv, equal settings", rates["ours"], rates["own"], ">= 20", of),
        figure(
            "training",
            "PPO: the adapter and our settings / DummyVecEnv of 8 and SB3's",
            rates["ours"],
            rates["defaults"],
            ">= 20",
            of,
        ),
    ]
    for count in (256, 1024, 4096):
        envs = gym.make_vec(ENV_ID, count, copy=False)
        shown, _ = envs.reset(seed=0)
        actions = np.random.default_rng(0).integers(0, 4, count)
        rooms = [{name: part.copy() for name, part in shown.items()} for _ in range(3)]

        def copy(rooms: list[dict[str, Any]] = rooms) -> None:
            rooms[0], rooms[1] = rooms[1], rooms[0]
            for name, part in rooms[2].items():
                np.copyto(rooms[0][name], part)

        def steps(do: Callable[[], object]) -> Callable[[], object]:
            return lambda: [do() for _ in range(64)]

        turns = {"step": steps(lambda envs=envs, actions=actions: envs.step(actions)), "copy": steps(copy)}  # type: ignore[misc]
        seconds = in_turns(turns, time.process_time, 3 * ROUNDS)
        rate = {name: [64 * count / one for one in each] for name, each in seconds.items()}
        what = f"vector environment of {count:,} / a copy of its observations"
        found.append(figure("training", what, rate["step"], rate["copy"], ">= 0.7", of))
    return found


def ray() -> list[Figure]:
    """Runs on Ray with two workers beside one, start-up included."""
    from agents.algorithms import registry as algorithms
    from agents.experiments import runs
    from agents.experiments.workers import Workers

    jobs = [algorithms.make_config("ppo", seed=seed, selector="stats") for seed in range(24)]
    spent: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            for workers, seconds in spent.items():
                start = time.perf_counter()
                runs.run_all(jobs, Path(folder) / f"{turn}-{workers}", workers=Workers(workers, "ray"))
                seconds.append(time.perf_counter() - start)
    return [
        figure(
            "ray", f"{len(jobs)} runs of PPO: two workers / one", spent[2], spent[1], "<= 0.6", "{0:.0f} s, {1:.0f} s"
        )
    ]


def scale() -> list[Figure]:
    """A table of a million sketches, in processor time beside `import torch`."""
    from sketchcanvas_env.envs.canvas import SketchCanvasVectorEnv
    from sketchcanvas_env.outcomes.table import OutcomeTable
    from sketchcanvas_env.tasks import observations
    from tests.benchmarks.bench_tabulate import repeated
    from tests.benchmarks.steps import made_up

    torch, _ = process(["-c", "import torch"])
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKETCHCANVAS_CACHE"] = str(Path(folder) / "cache")
        dataset = repeated(load("emoji"), MILLION)
        path = made_up(dataset).save(Path(folder) / "table.npz")
        for name in ("first", "again"):
            observations._split_observations.cache_clear()
            start = time.process_time()
            table = OutcomeTable.load(path)
            opened = time.process_time()
            envs = SketchCanvasVectorEnv(1024, copy=False, dataset=dataset, table=table)
            times[f"table opened, {name}"] = opened - start
            times[f"environment made, {name}"] = time.process_time() - opened
            size = len(table)
            del envs, table
    return [
        figure("scale", f"{size:,} sketches: {name} / import torch", [one], [torch], "", "{0:.1f} s, {1:.1f} s")
        for name, one in times.items()
    ]


PARTS: dict[str, Callable[[], list[Figure]]] = {
    part.__name__: part for part in (cold, query, throughput, page, training, ray, scale)
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--out", type=Path, default=OUT, help="without ending; .json and .md are written")
    asked = parser.parse_args()
    path = asked.out.with_suffix(".json")
    known = read_json(path, 1 << 20)["figures"] if path.exists() and asked.parts else []
    runs = {one["part"]: [each for each in known if each["part"] == one["part"]] for one in known}
    for name in asked.parts or PARTS:
        about = {"commit": commit(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "load": round(os.getloadavg()[0], 1)}
        runs[name] = [{**asdict(one), **about} for one in PARTS[name]()]
        print(f"{name}: " + "; ".join(f"{one['what']} {one['ratio']:.2f}" for one in runs[name]), flush=True)
        figures = [one for part in PARTS for one in runs.get(part, [])]
        command = "python -m tests.benchmarks.speed"
        write_json(path, {"command": command, "machine": machine(), "figures": figures}, indent=2)
        write_text(asked.out.with_suffix(".md"), page_of(command, figures))


def page_of(command: str, figures: Sequence[dict[str, Any]]) -> str:
    """The page, Markdown."""
    about = machine()
    rows = [
        (
            one["what"],
            f"{one['ratio']:.2f}",
            f"{one['least']:.2f} to {one['most']:.2f}",
            one["aim"],
            one["of"],
            f"{one['commit']}, {one['date']}, load {one['load']}",
        )
        for one in figures
    ]
    columns = ("what / beside what", "ratio", "rounds", "aim", "measured", "when")
    return (
        "# Speed\n\nEvery figure is a ratio of two things that were measured in turns in one run: the median of the "
        f"rounds, and the range of all. Made by {command} on {about['cores']} cores of {about['cpu']}, "
        f"Python {about['versions']['python']}; load is that of the machine before each part was run, to be near 0 "
        f"for the parts page, throughput and ray.\n\n{markdown(Table('Speed', columns, tuple(rows)))}\n"
    )


if __name__ == "__main__":
    main()
