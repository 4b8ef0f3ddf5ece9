"""Many clients at once draw on `sketchcanvas demo`, each search after the answer to the one before.

    python -m tests.benchmarks.load_demo --seconds 60 --clients 16

starts the server in a process of its own on a free port and prints JSON: searches, errors, milliseconds from a request
to its answer, the server's memory after it has warmed up and at the end. Sketches are the page's own examples, drawn
stroke by stroke, as the page sends them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import httpx2 as httpx
import numpy as np

WARM_SECONDS = 5.0


@contextmanager
def demo() -> Iterator[tuple[str, int]]:
    """The page's address and the server's process."""
    command = [sys.executable, "-m", "agents.cli", "demo", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            match = re.search(r"http://\S+", line)
            if match is None:
                raise RuntimeError(line + process.stderr.read())
            yield match[0], process.pid
        finally:
            process.send_signal(signal.SIGINT)


def memory(process: int) -> float:
    """What a process holds in memory, MiB (Linux)."""
    match = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(), re.M)
    assert match is not None
    return int(match[1]) / 1024


def drawings(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the page sends while each example is drawn: its first stroke, its first two, ..."""
    return [{"strokes": example["strokes"][: n + 1]} for example in examples for n in range(len(example["strokes"]))]


async def run(url: str, process: int, clients: int, seconds: float) -> dict[str, Any]:
    """Let clients draw; what they saw."""
    times: list[float] = []
    errors: list[str] = []
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=clients)) as client:
        bodies = drawings((await client.get("api/start")).json()["examples"])

        async def draw(first: int, end: float) -> None:
            for body in itertools.cycle(bodies[first:] + bodies[:first]):
                start = perf_counter()
                if start >= end:
                    return
                try:
                    answer = await client.post("api/search", json=body)
                    if answer.status_code != 200:
                        errors.append(f"{answer.status_code}: {answer.text[:200]}")
                    photo = answer.json()["hits"][0]["photo"]
                    times.append(1e3 * (perf_counter() - start))
                    if (await client.get("photo", params={"id": photo})).status_code != 200:
                        errors.append(f"no photo {photo}")
                except (httpx.HTTPError, KeyError) as error:
                    errors.append(repr(error))

        async def together(end: float) -> None:
            async with anyio.create_task_group() as group:
                for number in range(clients):
                    group.start_soon(draw, number * len(bodies) // clients, end)

        await together(perf_counter() + WARM_SECONDS)
        times.clear()
        before, start = memory(process), perf_counter()
        await together(start + seconds)
        took = perf_counter() - start
    return {
        "clients": clients,
        "seconds": round(took, 1),
        "searches": len(times),
        "searches_per_second": round(len(times) / took, 1),
        "errors": len(errors),
        "first_errors": errors[:3],
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
        "max_ms": round(max(times), 1),
        "memory_start_mib": round(before, 1),
        "memory_end_mib": round(memory(process), 1),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with demo() as (url, process):
        print(json.dumps(anyio.run(run, url, process, options.clients, options.seconds), indent=2))


if __name__ == "__main__":
    main()
