"""The cache: keys, size limit, and temporary files where the folder is not writable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sketchcanvas_env.storage import cache
from sketchcanvas_env.storage.cache import cached, key_of
from sketchcanvas_env.storage.files import write_text


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKETCHCANVAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Text:
    """Writes a text and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def read(self, path: Path) -> str:
        text = path.read_text()
        if not text.startswith("good"):
            raise ValueError("damaged")
        return text

    def write(self, path: Path) -> None:
        self.calls += 1
        write_text(path, "good" + "!" * 96)

    def get(self, key: str) -> None:
        assert cached(key, self.read, self.write) == "good" + "!" * 96


def test_a_file_is_made_once_and_again_if_damaged(folder: Path) -> None:
    text = Text()
    for _ in range(3):
        text.get("a")
    assert text.calls == 1
    (folder / "a.npz").write_text("bad")
    text.get("a")
    text.get("b")
    assert text.calls == 3
    assert sorted(path.name for path in folder.iterdir()) == ["a.npz", "b.npz"]


def test_the_key_depends_on_every_part() -> None:
    keys = [
        key_of("a", 1),
        key_of("b", 1),
        key_of("a", 2),
        key_of("a", 1, ""),
        key_of("a", 1, "", ""),
        key_of("a", 1, [""]),
    ]
    assert len(set(keys)) == len(keys)


def test_a_read_only_folder_is_replaced_by_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SKETCHCANVAS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    text = Text()
    for calls in (1, 2):
        text.get("a")
        assert text.calls == calls
    assert not list((tmp_path / "temporary").iterdir())


def test_errors_of_writing_are_passed_on(folder: Path) -> None:
    def fails(path: Path) -> None:
        raise ValueError("cat.csv is damaged")

    with pytest.raises(ValueError, match=r"cat\.csv is damaged"):
        cached("a", Text().read, fails)
    assert not list(folder.iterdir())


def test_the_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKETCHCANVAS_CACHE")
    assert "sketchcanvas" in cache.cache_folder().parts


def test_old_files_are_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT_BYTES", 300)
    for number, key in enumerate("012"):
        Text().get(key)
        os.utime(folder / f"{key}.npz", (number, number))
    used = Text()
    used.get("0")  # so it is the youngest
    Text().get("3")
    assert used.calls == 0
    assert sorted(path.name for path in folder.iterdir()) == ["0.npz", "2.npz", "3.npz"]
    monkeypatch.setattr(cache, "KEPT_BYTES", 0)
    Text().get("4")
    assert [path.name for path in folder.iterdir()] == ["4.npz"]
