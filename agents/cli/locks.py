"""A lock that keeps two runs from writing to the same place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(lock: Path, place: Path) -> Iterator[None]:
    """Hold a lock while a block runs.

    The lock ends with the process, however that ends. Systems without `fcntl` (Windows) do not lock.

    Args:
        lock: a file for the lock alone; it exists while the block runs.
        place: what the runs write to, for the message.

    Raises:
        ValueError: another run has the lock.
        OSError: the folder cannot be written to.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = _names(lock, file.fileno())
        except BlockingIOError:
            held = False
        if not held:
            raise ValueError(f"another run writes to {place} now: wait for it to end, or choose another --out")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _names(path: Path, descriptor: int) -> bool:
    """Whether a path still names an open file; the previous run may have removed it meanwhile."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
