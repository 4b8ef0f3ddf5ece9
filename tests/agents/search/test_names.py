"""What photos are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.search.names import character_of, file_of, title_of
from tests.agents.search.test_pipeline import photo_index


def test_photos_of_emoji_are_called_by_the_emoji() -> None:
    index = photo_index(kind="dataset", source="emoji:all")
    assert (title_of(index, "1FAA7"), character_of(index, "1FAA7")) == ("placard", "\N{PLACARD}")
    assert (title_of(index, "1F468-200D-1F33E"), character_of(index, "1F468-200D-1F33E")) == ("man farmer", "👨‍🌾")
    assert file_of(index, "1FAA7") is None


def test_photos_of_a_folder_are_called_by_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = photo_index(source=str(tmp_path / "pictures"))
    assert (title_of(index, "a/1FAA7.png"), character_of(index, "1FAA7")) == ("a/1FAA7.png", "")
    assert file_of(index, "a/1FAA7.png") == f"{tmp_path}/pictures/a/1FAA7.png"
    monkeypatch.chdir(tmp_path)
    assert file_of(index, "a/1FAA7.png") == "pictures/a/1FAA7.png"
