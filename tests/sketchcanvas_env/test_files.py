"""Atomic writing and hashing."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from sketchcanvas_env.files import atomic_write, sha256_file


def test_the_file_appears_under_its_name_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.json"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert os.listdir(target.parent) == ["result.json"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_old_file_whole(tmp_path: Path, interruption: type[BaseException]) -> None:
    target = tmp_path / "weights.bin"
    target.write_bytes(b"old")

    def write() -> None:
        with atomic_write(target) as temporary:
            temporary.write_bytes(b"half of the n")
            raise interruption

    with pytest.raises(interruption):
        write()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["weights.bin"]


def test_an_interruption_of_a_first_write_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_file_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "a") as temporary:
            temporary.write_text("x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="folder"), atomic_write(tmp_path):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 17])
def test_sha256_is_that_of_the_bytes(tmp_path: Path, size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    (tmp_path / "a").write_bytes(body)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(body).hexdigest()
