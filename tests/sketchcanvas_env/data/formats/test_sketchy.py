"""The Sketchy database: both published layouts, splits, lists of invalid sketches, bad files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sketchcanvas_env.data import SPLITS, SketchDataset, SkippedDataWarning, load
from sketchcanvas_env.data.formats.sketchy import DRAWN, PHOTOS
from tests.helpers import toy_photo

CLASSES = {"airplane": "n02691156", "cat": "n02121620"}
LINES = [[(64, 48), (320, 240)], [(640, 480), (0, 0), (160, 360)]]


def svg(lines: list[list[tuple[float, float]]] = LINES) -> str:
    paths = "".join(
        f'<path d="M{" L".join(f"{x},{y}" for x, y in line)}" fill="none" stroke="#000"/>' for line in lines
    )
    return (
        '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="640" height="480">'
        f"<desc>Created with Raphael</desc><defs/>{paths}</svg>"
    )


def names(photos: int) -> list[tuple[str, str]]:
    """(class, photo) of the first photos of each class."""
    return [(group, f"{wnid}_{number}") for group, wnid in CLASSES.items() for number in range(photos)]


def write(folder: Path, photos: int = 12, sketches: int = 2, test: int = 2, table: bool = False) -> Path:
    """The published layout, with the first photos of each class in the test set."""
    (folder / "info").mkdir(parents=True)
    for group in CLASSES:
        (folder / PHOTOS / group).mkdir(parents=True)
        if not table:
            (folder / "sketches" / group).mkdir(parents=True)
            (folder / "sketches" / group / "checked.txt").write_text("published beside the sketches\n")
    for group, photo in names(photos):
        Image.fromarray(toy_photo(photo)).resize((256, 256)).save(folder / PHOTOS / group / f"{photo}.jpg")
        for k in range(1, sketches + 1):
            if not table:
                (folder / "sketches" / group / f"{photo}-{k}.svg").write_text(svg())
    for group in CLASSES if table else ():
        rows = [
            f"{x},{y},{1 if not i else 2},{s},{place},{photo},{photo}-{k}.png"
            for own, photo in names(photos)
            if own == group
            for place, k in enumerate(sorted(range(1, sketches + 1), key=str))
            for s, line in enumerate(LINES)
            for i, (x, y) in enumerate(line)
        ]
        (folder / f"{group}.csv").write_text("\n".join(["x,y,pen,strokeID,sketchID,photoID,sketchFN", *rows]) + "\n")
    listed = [f"{group}/{photo}.jpg" for group, photo in names(test)]
    (folder / "info" / "testset.txt").write_text("\n".join(listed) + "\n")
    for reason in ("ambiguous", "context", "error", "pose"):
        (folder / "info" / f"invalid-{reason}.txt").write_text("")
    return folder


def photos_of(dataset: SketchDataset, split: str) -> set[str]:
    return set(dataset.photo_ids[dataset.indices(split)].tolist())


@pytest.mark.parametrize("table", [False, True])
def test_the_published_layout(tmp_path: Path, table: bool) -> None:
    dataset = load("sketchy", write(tmp_path, table=table), strict=True)
    assert (dataset.name, len(dataset), dataset.skipped) == ("sketchy", 48, ())
    assert photos_of(dataset, "test") == {photo for _, photo in names(2)}
    # 4 of 24 photos are test; so many are train and val, too.
    assert {split: len(dataset.gallery(split)) for split in SPLITS} == {"student": 12, "train": 4, "val": 4, "test": 4}
    assert all(photos_of(dataset, split) == set(dataset.gallery(split).tolist()) for split in SPLITS)
    assert len({photo for split in SPLITS for photo in photos_of(dataset, split)}) == 24
    assert {f"{photo}-{k}" for _, photo in names(12) for k in (1, 2)} == set(dataset.sketch_ids.tolist())
    assert all(str(s).startswith(f"{p}-") for s, p in zip(dataset.sketch_ids, dataset.photo_ids, strict=True))
    for row in range(48):
        first, second = dataset.sketch(row).strokes
        # As the photos were: stretched, each axis by its own side, and in its place.
        np.testing.assert_allclose(first, [[0.1, 0.1], [0.5, 0.5]], atol=1e-6)
        np.testing.assert_allclose(second, [[1, 1], [0, 0], [0.25, 0.75]], atol=1e-6)
    photo = dataset.photo("n02121620_3")
    assert photo.shape == (256, 256, 3)
    assert abs(photo[128, 128].astype(int) - toy_photo("n02121620_3")[20, 20]).max() < 8
    assert "ImageNet" in dataset.licence and "Badly Drawn Bunnies" in dataset.citation


def test_no_more_than_a_quarter_is_taken_from_the_student(tmp_path: Path) -> None:
    dataset = load("sketchy", write(tmp_path, photos=8, sketches=1, test=6))
    assert {split: len(dataset.gallery(split)) for split in SPLITS} == {"student": 2, "train": 1, "val": 1, "test": 12}


@pytest.mark.parametrize("table", [False, True])
def test_invalid_sketches_are_not_part_of_it(tmp_path: Path, table: bool) -> None:
    write(tmp_path, table=table)
    listed = {
        "ambiguous": "n02691156_5-1",
        "context": "n02691156_5-2",
        "error": "n02121620_0-2",
        "pose": "n02121620_7-1",
    }
    for reason, sketch in listed.items():
        (tmp_path / "info" / f"invalid-{reason}.txt").write_text(f"{sketch} \r\n")
    dataset = load("sketchy", tmp_path, strict=True)  # nothing is wrong with them
    assert len(dataset) == 44 and not set(listed.values()) & set(dataset.sketch_ids.tolist())
    assert not any("n02691156_5" in dataset.gallery(split) for split in SPLITS)  # no sketch of it is left
    (tmp_path / "info" / "invalid-pose.txt").unlink()
    assert len(load("sketchy", tmp_path, strict=True)) == 45  # a list may be missing
    assert dataset.notes == tuple(f"info/invalid-{reason}.txt removed 1 sketches" for reason in listed)


@pytest.mark.parametrize("pictures", [False, True])
def test_sketch_ids_of_tables_are_places_among_names_sorted_as_text(tmp_path: Path, pictures: bool) -> None:
    """With eleven sketches -10 stands before -2; with pictures of the sketches their names count, gaps and all."""
    write(tmp_path, photos=4, sketches=1, table=True)
    photo, ks = "n02121620_1", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    if pictures:
        ks = [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        (tmp_path / DRAWN / "cat").mkdir(parents=True)
        for k in ks:
            (tmp_path / DRAWN / "cat" / f"{photo}-{k}.png").touch()
    in_order = sorted(ks, key=str)
    rows = [f"{x},{place},{pen},0,{place},{photo}" for place in range(11) for x, pen in ((0, 1), (64, 2))]
    (tmp_path / "cat.csv").write_text(
        "\n".join(["x,y,pen,strokeID,sketchID,photoID", *rows, *([f"1,1,1,0,99,{photo}"] if pictures else [])])
    )
    (tmp_path / "info" / "invalid-error.txt").write_text(f"{photo}-{in_order[1]}\n")
    if pictures:
        with pytest.warns(SkippedDataWarning, match=rf"{photo}: 99: its photo has 11 sketches, counted from 0"):
            dataset = load("sketchy", tmp_path)
    else:
        dataset = load("sketchy", tmp_path, strict=True)
    heights = {
        str(name): round(float(dataset.sketch(row).strokes[0][0, 1]) * 480)
        for row, name in enumerate(dataset.sketch_ids)
        if dataset.photo_ids[row] == photo
    }
    assert heights == {f"{photo}-{k}": place for place, k in enumerate(in_order) if place != 1}
    assert "info/invalid-error.txt removed 1 sketches" in dataset.notes


def test_points_beyond_the_edge(tmp_path: Path) -> None:
    write(tmp_path, photos=4)
    path = tmp_path / "sketches" / "cat" / "n02121620_1-1.svg"
    path.write_text(svg([[(-60, 500), (690, -10)]]))
    dataset = load("sketchy", tmp_path, strict=True)
    [stroke] = dataset.sketch(dataset.sketch_ids.tolist().index("n02121620_1-1")).strokes
    # Cut at the edge of the page, but for a hundredth of its side, and then moved onto the canvas.
    slope = 510 / 750
    ends = [(500 - slope * (60 - 6.4)) / 480, (500 - slope * (700 + 6.4)) / 480]
    np.testing.assert_allclose(stroke, [[0, ends[0]], [1, ends[1]]], atol=2e-3)


def _sketch(text: str, name: str = "n02121620_1-1") -> Callable[[Path], str]:
    def spoil(folder: Path) -> str:
        (folder / "sketches" / "cat" / f"{name}.svg").write_text(text)
        return f"sketches/cat/{name}.svg"

    return spoil


def _linked(folder: Path) -> str:
    path = folder / "sketches" / "cat" / "n02121620_1-1.svg"
    path.rename(folder.parent / "outside.svg")
    path.symlink_to(folder.parent / "outside.svg")
    return "sketches/cat/n02121620_1-1.svg"


BAD = {
    "no strokes": (_sketch(svg([])), "."),
    "no XML": (_sketch("<svg"), "not well-formed"),
    "far off": (_sketch(svg([[(705, 0), (1400, 0)]])), "off the canvas of 640 x 480 by more than a tenth"),
    "NaN": (_sketch(svg([[(0, 0), (float("nan"), 0)]])), "."),
    "a picture": (_sketch('<svg><image href="file:///etc/passwd"/></svg>'), "<image>"),
    "an odd name": (_sketch(svg(), "cat-1"), "not of the form <wnid>_<n>-<k>"),
    "a photo of another class": (_sketch(svg(), "n02691156_1-9"), "class 'airplane' has the same photo"),
    "a link out": (_linked, "a link that leads out of"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_sketch_is_named_and_left_out(tmp_path: Path, case: str) -> None:
    spoil, reason = BAD[case]
    folder = write(tmp_path / "root", photos=4)
    name = spoil(folder)
    with pytest.warns(SkippedDataWarning, match=re.escape(name)) as warned:
        dataset = load("sketchy", folder)
    assert warned[0].filename == __file__
    [(skipped, told)] = dataset.skipped
    assert skipped == name and re.search(reason, told), told
    assert len(dataset) in (15, 16) and "n02121620_1" in dataset.photo_ids
    with pytest.raises(ValueError, match=re.escape(name)):
        load("sketchy", folder, strict=True)


def test_a_missing_photo_takes_its_sketches_along(tmp_path: Path) -> None:
    whole = load("sketchy", write(tmp_path))
    (tmp_path / PHOTOS / "cat" / "n02121620_9.jpg").unlink()
    (tmp_path / PHOTOS / "cat" / "n02121620_8.jpg").write_bytes(b"\xff\xd8 no picture")
    with pytest.warns(SkippedDataWarning, match=r"44 of 48 sketches and 22 of 24 photos"):
        dataset = load("sketchy", tmp_path)
    assert [name for name, _ in dataset.skipped] == [f"{PHOTOS}/cat/n02121620_{n}.jpg" for n in (8, 9)]
    assert dataset.skipped[0][1].startswith("an unreadable JPEG file")
    assert dataset.skipped[1][1].startswith("no such file")
    for split in SPLITS:  # no other photo moves
        assert set(dataset.gallery(split)) == set(whole.gallery(split)) - {"n02121620_8", "n02121620_9"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("photoID", "photo"), "lacks the column 'photoID'"),
        (lambda text: text.replace(",1,0,0,n02121620_0", ",3,0,0,n02121620_0"), "line 2: a row must have"),
        (lambda text: text.replace("64,48,", "64,left,", 1), "line 2: '64', 'left' is no point"),
        (lambda text: text + "1,2\n", r"line \d+: a row must have"),
        (lambda text: text + "x" * 200_000 + "\n", "a line of more than 65,536 bytes"),
        (lambda text: text.encode("utf-16"), "utf-8"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, change: Callable[[str], str | bytes], reason: str) -> None:
    path = write(tmp_path, photos=4, table=True) / "cat.csv"
    changed = change(path.read_text())
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    with pytest.raises(ValueError, match=rf"cat\.csv: .*{reason}"):
        load("sketchy", tmp_path)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("nan,4,2,0,0,n02121620_1\n", "not finite"),
        ("5,-inf,2,0,0,n02121620_1\n", "not finite"),
        ("5,5000,2,0,0,n02121620_1\n", "off the canvas"),
        ("5,5,2,0,0,n02121620_1\n" * 50_001, "at most 5000 strokes and 50000 points"),
    ],
)
def test_a_bad_sketch_of_a_table_is_named_and_left_out(tmp_path: Path, rows: str, reason: str) -> None:
    path = write(tmp_path, photos=4, table=True) / "cat.csv"
    path.write_text("x,y,pen,strokeID,sketchID,photoID\n" + rows + "5,5,1,0,1,n02121620_1\n9,9,2,0,1,n02121620_1\n")
    with pytest.warns(SkippedDataWarning, match=r"9 of 10 sketches and 5 of 5 photos"):
        dataset = load("sketchy", tmp_path)
    [(name, told)] = dataset.skipped
    assert name == "cat.csv: n02121620_1: 0" and reason in told
    assert "n02121620_1-2" in dataset.sketch_ids


def test_folders_that_are_not_the_data_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name it as sketchy:DIR"):
        load("sketchy")
    for part in ("sketches", PHOTOS, "info"):
        folder = write(tmp_path / part.replace("/", "-"), photos=1)
        (folder / part).rename(tmp_path / f"{part.replace('/', '-')}-away")
        with pytest.raises(FileNotFoundError, match="there must be sketches/"):
            load("sketchy", folder)
    folder = write(tmp_path / "list", photos=1)
    (folder / "info" / "testset.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"testset\.txt: not a text"):
        load("sketchy", folder)
    with pytest.raises(ValueError, match="holds no sketch"):
        load("sketchy", write(tmp_path / "none", photos=1, sketches=0))
