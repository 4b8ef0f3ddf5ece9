"""Atomic writing and hashing."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

import pytest

from sketchcanvas_env.storage.files import atomic_write, read_json, sha256_file, write_json, write_text


def test_the_file_gets_its_name_and_no_temporary_file_is_left(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.json"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert os.listdir(target.parent) == ["result.json"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_old_file_unchanged(tmp_path: Path, interruption: type[BaseException]) -> None:
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


def test_writing_to_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="folder"), atomic_write(tmp_path):
        pytest.fail("the block must not run")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 17])
def test_sha256_is_that_of_the_bytes(tmp_path: Path, size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    (tmp_path / "a").write_bytes(body)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(body).hexdigest()


def test_json_as_it_is_written(tmp_path: Path) -> None:
    value = {"b": [1, 2.5], "a": {"ü": None}}
    write_json(tmp_path / "new" / "a.json", value)
    assert (tmp_path / "new" / "a.json").read_bytes() == (
        b'{\n "b": [\n  1,\n  2.5\n ],\n "a": {\n  "\\u00fc": null\n }\n}\n'
    )
    assert read_json(tmp_path / "new" / "a.json", 100) == value
    write_json(tmp_path / "new" / "a.json", [1], indent=2)
    assert (tmp_path / "new" / "a.json").read_bytes() == b"[\n  1\n]\n"


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": {1, 2}}])
def test_invalid_json_values_leave_the_old_file(tmp_path: Path, value: object) -> None:
    (tmp_path / "a.json").write_text("old")
    with pytest.raises((ValueError, TypeError), match="JSON"):
        write_json(tmp_path / "a.json", value)
    assert (tmp_path / "a.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "\\u0061": 2}}]'])
def test_duplicate_fields_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "twice.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"twice\.json is not JSON: an object has two fields of one name"):
        read_json(path, 100)


def test_folders_and_large_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))} is not a plain file"):
        read_json(tmp_path, 100)
    write_text(tmp_path / "a.json", '"' + "ü" * 50 + '"')
    assert read_json(tmp_path / "a.json", 102) == "ü" * 50
    with pytest.raises(ValueError, match=r"a\.json is larger than 101 bytes"):
        read_json(tmp_path / "a.json", 101)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "b.json", 100)
