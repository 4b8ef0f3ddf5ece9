"""FS-COCO: the published layout, its lists as splits, bad files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchcanvas_env.data import SPLITS, SketchDataset, SkippedDataWarning, load

ROWS = np.array([[10, 20, 0], [110, 20, 1], [60, 20, 0], [60, 50, 0], [60, 70, 2], [999, 999, 0]], dtype=np.float64)
USERS, SCENES = 5, 4


def scene(user: int, number: int) -> str:
    return f"{user:06}{number:06}"


def write(folder: Path) -> Path:
    """Five users with four scenes each: one of each is in val_normal, and all of user 5 in val_unseen_user."""
    for user in range(1, USERS + 1):
        for part in ("images", "vector_sketches"):
            (folder / part / str(user)).mkdir(parents=True)
        for number in range(SCENES):
            name = scene(user, number)
            wide = np.full((30, 60, 3), 40 * user, dtype=np.uint8)
            Image.fromarray(wide).save(folder / "images" / str(user) / f"{name}.jpg")
            np.save(folder / "vector_sketches" / str(user) / f"{name}.npy", np.add(ROWS, [number, 0, 0]))
    (folder / "val_normal.txt").write_text("\n".join(scene(user, 0) for user in range(1, USERS + 1)) + "\n")
    (folder / "val_unseen_user.txt").write_text("\n".join(scene(USERS, number) for number in range(SCENES)) + "\n")
    return folder


def photos_of(dataset: SketchDataset, split: str) -> set[str]:
    return set(dataset.photo_ids[dataset.indices(split)].tolist())


def test_the_published_layout(tmp_path: Path) -> None:
    dataset = load("fscoco", write(tmp_path), strict=True)
    assert (dataset.name, len(dataset), dataset.skipped) == ("fscoco", 20, ())
    assert photos_of(dataset, "test") == {scene(user, 0) for user in range(1, USERS + 1)}
    assert photos_of(dataset, "val") == {scene(USERS, number) for number in range(1, SCENES)}
    # The other twelve: as many for train as test has, the rest for the student.
    assert {split: len(dataset.gallery(split)) for split in SPLITS} == {"student": 7, "train": 5, "val": 3, "test": 5}
    assert all(photos_of(dataset, split) == set(dataset.gallery(split).tolist()) for split in SPLITS)
    assert dataset.sketch_ids.tolist() == dataset.photo_ids.tolist()
    for row in range(20):
        first, second = dataset.sketch(row).strokes
        # 100 wide and 50 high, aspect kept, and nothing after the end of the drawing.
        np.testing.assert_allclose(first, [[0.08, 0.29], [0.92, 0.29]], atol=1e-6)
        np.testing.assert_allclose(second, [[0.5, 0.29], [0.5, 0.542], [0.5, 0.71]], atol=1e-6)
    photo = dataset.photo(scene(2, 1))
    assert photo.shape == (256, 256, 3)
    assert photo[:60].min() == 255 and photo[-60:].min() == 255  # on a white square, not stretched
    assert abs(photo[128].astype(int) - 80).max() < 4
    assert "MS-COCO" in dataset.licence and "ECCV 2022" in dataset.citation


def test_an_image_may_lie_with_another_user(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "images" / "1" / f"{scene(1, 1)}.jpg").rename(tmp_path / "images" / "2" / f"{scene(1, 1)}.jpg")
    assert abs(load("fscoco", tmp_path, strict=True).photo(scene(1, 1))[128].astype(int) - 40).max() < 4


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (np.zeros((0, 3)), "empty: it has no points"),
        (ROWS * [1, np.nan, 1], "not finite"),
        (ROWS[:, :2], r"an array of shape \(6, 2\)"),
        (np.add(ROWS, [0, 0, 1]), "a flag"),
        (np.array([{}]), "holds object, not real numbers"),
        (np.tile([5.0, 6.0, 0.0], (50_001, 1)), "5,000 are read"),
    ],
)
def test_a_bad_sketch_is_named_and_left_out(tmp_path: Path, rows: np.ndarray, reason: str) -> None:
    name = f"vector_sketches/3/{scene(3, 2)}.npy"
    np.save(write(tmp_path) / name, rows, allow_pickle=True)
    with pytest.warns(SkippedDataWarning, match=rf"19 of 20 sketches and 20 of 20 .*{name}: .*{reason}") as warned:
        dataset = load("fscoco", tmp_path)
    assert warned[0].filename == __file__
    assert [skipped for skipped, _ in dataset.skipped] == [name] and len(dataset) == 19
    with pytest.raises(ValueError, match=name):
        load("fscoco", tmp_path, strict=True)


def test_names_that_are_none(tmp_path: Path) -> None:
    write(tmp_path)
    np.save(tmp_path / "vector_sketches" / "3" / "mine.npy", ROWS)
    np.save(tmp_path / "vector_sketches" / "4" / f"{scene(3, 2)}.npy", ROWS)
    with pytest.warns(SkippedDataWarning):
        dataset = load("fscoco", tmp_path)
    assert dict(dataset.skipped) == {
        "vector_sketches/3/mine.npy": "its name is not a number",
        f"vector_sketches/4/{scene(3, 2)}.npy": f"vector_sketches/3/{scene(3, 2)}.npy has the same id",
    }
    assert len(dataset) == 20


def test_a_missing_photo_takes_its_sketch_along_and_moves_no_other(tmp_path: Path) -> None:
    whole = load("fscoco", write(tmp_path))
    gone = str(whole.gallery("train")[0])
    next(tmp_path.glob(f"images/*/{gone}.jpg")).unlink()
    with pytest.warns(SkippedDataWarning, match=rf"19 of 20 sketches and 19 of 20 photos .*{gone}\.jpg: no such file"):
        dataset = load("fscoco", tmp_path)
    for split in SPLITS:
        assert set(dataset.gallery(split)) == set(whole.gallery(split)) - {gone}


def test_folders_that_are_not_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name it as fscoco:DIR"):
        load("fscoco")
    for part in ("images", "vector_sketches", "val_normal.txt", "val_unseen_user.txt"):
        folder = write(tmp_path / part)
        (folder / part).rename(tmp_path / f"{part}-away")
        with pytest.raises(FileNotFoundError, match="there must be vector_sketches/, images/, val_normal"):
            load("fscoco", folder)
    folder = write(tmp_path / "lists")
    (folder / "val_normal.txt").write_text("1.0e+05\n")
    with pytest.raises(ValueError, match=re.escape("val_normal.txt: '1.0e+05' is not an id")):
        load("fscoco", folder)
    (folder / "val_normal.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"val_normal\.txt: not a text in UTF-8"):
        load("fscoco", folder)
    (folder / "val_normal.txt").unlink()
    (tmp_path / "outside.txt").write_text("1\n")
    (folder / "val_normal.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(ValueError, match=r"val_normal\.txt: a link that leads out of"):
        load("fscoco", folder)
