"""Many clients at once draw on `sketchcanvas demo`, each search after the answer to the one before.

    python -m tests.benchmarks.load_demo --seconds 20 --clients 16

starts the server in a process of its own on a free port and prints JSON: searches, errors, milliseconds from a request
to its answer with one client and with all of them, in turns (`ratios`: p95 of all / p50 of one), the server's memory
after it has warmed up and at the end. Sketches are the page's own examples, drawn stroke by stroke, as the page sends
them.
"""

from __future__ import annotations

import argparse
import asyncio
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
from urllib.parse import quote

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


class Connection:
    """One client's connection, kept open. A client library would take more of the processor than a search does."""

    def __init__(self, url: str) -> None:
        self._host, port = url.removeprefix("http://").rstrip("/").rsplit(":", 1)
        self._port = int(port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer to a GET, or to a POST of JSON."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        method, more = ("GET", "") if body is None else ("POST", "Content-Type: application/json\r\n")
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{more}Content-Length: {len(body or b'')}\r\n\r\n"
        writer.write(head.encode() + (body or b""))
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.removeprefix("content-length:")) for line in lines if line.startswith("content-length:"))
        return int(lines[0].split()[1]), await reader.readexactly(length)


async def draw(url: str, bodies: list[bytes], end: float, times: list[float], errors: list[str]) -> None:
    """One client: a search and the first photo found, again and again; milliseconds of the searches."""
    connection = Connection(url)
    for body in itertools.cycle(bodies):
        start = perf_counter()
        if start >= end:
            return
        status, answer = await connection.ask("/api/search", body)
        times.append(1e3 * (perf_counter() - start))
        if status != 200:
            errors.append(f"{status}: {answer[:200]!r}")
            continue
        photo = json.loads(answer)["hits"][0]["photo"]
        status, _ = await connection.ask(f"/photo?id={quote(photo)}")
        if status != 200:
            errors.append(f"no photo {photo}")


async def run(url: str, process: int, clients: int, seconds: float, rounds: int = 3) -> dict[str, Any]:
    """Let one client draw alone and `clients` together, in turns of `seconds`; what they saw."""
    _, start = await Connection(url).ask("/api/start")
    bodies = [json.dumps(one).encode() for one in drawings(json.loads(start)["examples"])]
    errors: list[str] = []

    async def together(count: int, seconds: float) -> list[float]:
        times: list[float] = []
        end = perf_counter() + seconds
        places = [number * len(bodies) // count for number in range(count)]
        await asyncio.gather(*(draw(url, bodies[n:] + bodies[:n], end, times, errors) for n in places))
        return times

    await together(clients, WARM_SECONDS)
    before = memory(process)
    turns = [(await together(1, seconds), await together(clients, seconds)) for _ in range(rounds)]
    alone, many = ([one for turn in turns for one in turn[k]] for k in (0, 1))
    return {
        "clients": clients,
        "seconds": seconds * rounds,
        "searches": len(many),
        "searches_per_second": round(len(many) / (seconds * rounds), 1),
        "errors": len(errors),
        "first_errors": errors[:3],
        "p50_ms_of_one_client": round(float(np.percentile(alone, 50)), 1),
        "p50_ms": round(float(np.percentile(many, 50)), 1),
        "p95_ms": round(float(np.percentile(many, 95)), 1),
        "max_ms": round(max(many), 1),
        "ratios": [round(float(np.percentile(b, 95) / np.percentile(a, 50)), 2) for a, b in turns],
        "memory_start_mib": round(before, 1),
        "memory_end_mib": round(memory(process), 1),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one turn, of three")
    options = parser.parse_args()
    with demo() as (url, process):
        print(json.dumps(asyncio.run(run(url, process, options.clients, options.seconds)), indent=2))


if __name__ == "__main__":
    main()
