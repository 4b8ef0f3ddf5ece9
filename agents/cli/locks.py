"""A lock that keeps two runs from writing to the same place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def alone(lock: Path, place: Path) -> Iterator[None]:
    """Hold a lock while a block runs; it ends with the process, however that ends.

    Args:
        lock: a file for the lock alone; it exists while the block runs.
        place: what the runs write to, for the message.

    Raises:
        ValueError: another run has the lock.
        OSError: the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(lock)
    try:
        held.acquire(blocking=False)
    except Timeout:
        raise ValueError(f"another run writes to {place} now: wait for it, or choose another --out") from None
    try:
        yield
    finally:
        with suppress(PermissionError):  # Windows removes no open file
            lock.unlink(missing_ok=True)
        held.release()
