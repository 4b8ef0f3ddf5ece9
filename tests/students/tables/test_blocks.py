"""Rows in a file: what is stored is found again, what is not is never taken for it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from students.tables import blocks
from students.tables.blocks import BlockFile

COLUMNS: blocks.Columns = {"ranks": (np.int32, (2,)), "top": (np.float32, (2, 3))}
LENGTH = 10


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)


def content(block: slice) -> dict[str, np.ndarray]:
    """Columns that depend on the row; none is zero."""
    row = np.arange(block.start, block.stop)
    return {"ranks": 1 + row[:, None] + [0, 100], "top": np.broadcast_to(0.5 + row[:, None, None], (len(row), 2, 3))}


def pieces(stored: BlockFile, start: int = 0, stop: int = LENGTH) -> list[tuple[int, int, bool]]:
    return [(block.start, block.stop, done) for block, done in stored.blocks(start, stop)]


def test_what_is_stored_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows"
    with BlockFile(path, COLUMNS, LENGTH) as stored:
        assert pieces(stored) == [(0, 4, False), (4, 8, False), (8, 10, False)]
        stored.store(slice(8, 10), **content(slice(8, 10)))
        stored.store(slice(0, 4), **content(slice(0, 4)))
    with BlockFile(path, COLUMNS, LENGTH) as again:
        assert pieces(again) == [(0, 4, True), (4, 8, False), (8, 10, True)]
        again.store(slice(4, 8), **content(slice(4, 8)))
        assert all(done for _, _, done in pieces(again))
    for name, column in content(slice(0, LENGTH)).items():
        np.testing.assert_array_equal(again.rows[name], column)
    assert os.listdir(path.parent) == ["rows"]


def test_blocks_start_where_they_are_told_to(tmp_path: Path) -> None:
    with BlockFile(tmp_path / "rows", COLUMNS, LENGTH) as stored:
        assert pieces(stored, 3, 9) == [(3, 7, False), (7, 9, False)]


@pytest.mark.parametrize("survives", [0, 1, 5, 11])
def test_a_block_that_a_full_disk_cuts_short_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    """Whatever part of the rows was written, the mark comes after all of them."""
    path = tmp_path / "rows"
    with BlockFile(path, COLUMNS, LENGTH) as stored:
        written: list[int] = []

        class Full:
            name = str(path)

            def seek(self, offset: int) -> None:
                real.seek(offset)

            def write(self, data: bytes) -> int:
                if len(written) == survives:
                    raise OSError(errno.ENOSPC, "No space left on device")
                written.append(1)
                return real.write(data[:12])

            def fileno(self) -> int:
                return real.fileno()

            def close(self) -> None:
                real.close()

        real = stored._file
        monkeypatch.setattr(stored, "_file", Full())
        with pytest.raises(OSError, match="No space left on device") as caught:
            stored.store(slice(0, 4), **content(slice(0, 4)))
        assert caught.value.filename == str(path)
    with BlockFile(path, COLUMNS, LENGTH) as again:
        assert pieces(again)[0] == (0, 4, False)


def test_rows_reach_the_disk_before_their_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    with BlockFile(tmp_path / "rows", COLUMNS, LENGTH) as stored:

        def look(handle: int) -> None:
            whole = all((stored.rows[name][:4] == column).all() for name, column in content(slice(0, 4)).items())
            seen.append(whole and not pieces(stored)[0][2])

        monkeypatch.setattr(os, "fsync", look)
        stored.store(slice(0, 4), **content(slice(0, 4)))
        assert seen == [True, False]
        assert pieces(stored)[0] == (0, 4, True)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    BlockFile(tmp_path / "rows", COLUMNS, LENGTH).__exit__()
    with pytest.raises(ValueError, match=r"rows has .* bytes where .* are due"):
        BlockFile(tmp_path / "rows", COLUMNS, LENGTH + 1)


def test_a_file_that_somebody_tidies_away_can_still_be_filled(tmp_path: Path) -> None:
    """Two processes build the same table; the quicker one removes the file when it is through."""
    with BlockFile(tmp_path / "rows", COLUMNS, LENGTH) as stored:
        (tmp_path / "rows").unlink()
        stored.store(slice(0, 4), **content(slice(0, 4)))
        assert pieces(stored)[0] == (0, 4, True)


def test_keys_tell_settings_apart() -> None:
    settings = {"student": "a", "canvases": (16, 32), "versions": {"torch": "2.6"}}
    assert blocks.key(settings) == blocks.key(dict(reversed(settings.items())))
    others = [settings | change for change in ({"student": "b"}, {"canvases": (16,)}, {"versions": {}}, {"block": 1})]
    assert len({blocks.key(other) for other in [settings, *others]}) == 5
