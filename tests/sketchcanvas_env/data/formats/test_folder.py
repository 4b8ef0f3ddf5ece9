"""A folder of one's own: what is read and how, what is refused and why, splits, writing one."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from sketchcanvas_env.data import SPLITS, SketchDataset, SkippedDataWarning, load
from sketchcanvas_env.data.formats import folder as folder_format
from sketchcanvas_env.data.formats.folder import SCALED_SVG, check_folder, read_drawing
from sketchcanvas_env.data.formats.folder_writer import write_folder
from sketchcanvas_env.data.splits import divided
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.untrusted import read_inside
from sketchcanvas_env.tasks.canvas import CanvasArguments
from students.network.hog import HogRetriever
from students.tables.tabulate import tabulate
from tests.helpers import qmul_arrays, toy_dataset, toy_photo, toy_sketch, write_qmul

SVG_BOMB = '<!DOCTYPE svg [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>'
SQUARE = [[[10, 10], [30, 10], [30, 20], [10, 20], [10, 10]]]


def write(folder: Path, photos: int = 10, sketches: int = 2) -> Path:
    """Photos `p00`, `p01`, ..., each with sketches in JSON on the unit canvas."""
    (folder / "photos").mkdir(parents=True)
    (folder / "sketches").mkdir()
    for number in range(photos):
        name = f"p{number:02}"
        Image.fromarray(toy_photo(name)).save(folder / "photos" / f"{name}.png")
        for k in range(sketches):
            strokes = [stroke.tolist() for stroke in toy_sketch(10 * number + k).strokes]
            (folder / "sketches" / f"{name}__{k}.json").write_text(json.dumps(strokes))
    return folder


def photos_of(dataset: SketchDataset, split: str) -> set[str]:
    return set(dataset.photo_ids[dataset.indices(split)].tolist())


def strokes_of(dataset: SketchDataset, sketch_id: str) -> list[np.ndarray]:
    return list(dataset.sketch(dataset.sketch_ids.tolist().index(sketch_id)).strokes)


# ----------------------------------------------------------------------------------------------------- what is read


def test_what_is_there_is_read(tmp_path: Path) -> None:
    dataset = load("folder", write(tmp_path), strict=True)
    assert (dataset.name, len(dataset), dataset.skipped) == ("folder", 20, ())
    assert {split: len(dataset.indices(split)) for split in SPLITS} == {"student": 8, "train": 4, "val": 4, "test": 4}
    assert all(photos_of(dataset, split) == set(dataset.gallery(split).tolist()) for split in SPLITS)
    assert len({photo for split in SPLITS for photo in photos_of(dataset, split)}) == 10
    assert [photo + "__" for photo in dataset.photo_ids] == [name[:5] for name in dataset.sketch_ids]
    for row, name in enumerate(dataset.sketch_ids.tolist()):
        wanted = toy_sketch(10 * int(name[1:3]) + int(name[5:])).strokes
        assert all(map(np.array_equal, dataset.sketch(row).strokes, wanted))
    photo = dataset.photo("p03")
    assert photo.shape == (256, 256, 3) and photo.dtype == np.uint8
    assert (photo[128, 128] == toy_photo("p03")[20, 20]).all() and (photo[0] == 255).all()
    assert "not stated" in dataset.licence and dataset.citation == ""
    (tmp_path / "LICENCE.txt").write_text("CC0\n")
    (tmp_path / "CITATION.txt").write_text("Me: Mine\n")
    told = load("folder", tmp_path)
    assert (told.licence, told.citation, told.hash) == ("CC0", "Me: Mine", dataset.hash)


def test_names_take_little_memory(tmp_path: Path) -> None:
    folder = write(tmp_path, photos=2, sketches=0)
    count = 2_000
    for number in range(count):
        (folder / "sketches" / f"p0{number % 2}__{number:020}.json").write_text("[[[0, 0], [1, 1]]]")
    load("folder", write(tmp_path / "first", photos=2))  # what is imported and looked up once is no name
    tracemalloc.start()
    try:
        dataset = load("folder", folder, strict=True)
        snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/sketchcanvas_env/*")])
    finally:
        tracemalloc.stop()
    columns = sum(each.nbytes for each in (dataset.sketch_ids, dataset.photo_ids, dataset.split, dataset.level))
    kept = sum(trace.size for trace in snapshot.traces) - columns
    # Drawings lie on the disk; a str of a path of 39 characters alone takes 88.
    assert kept < 110 * count
    assert dataset.sketch(count - 1).n_points == 2


def test_every_way_to_write_strokes(tmp_path: Path) -> None:
    folder = write(tmp_path, photos=1, sketches=0) / "sketches"
    (folder / "p00__a.svg").write_text('<svg viewBox="0 0 9 9"><path d="M10,10 30,10 30,20 10,20 10,10"/></svg>')
    (folder / "p00__b.json").write_text(json.dumps(SQUARE))
    offsets = np.diff(np.array(SQUARE[0]), axis=0, prepend=0)
    np.save(folder / "p00__c.npy", np.column_stack([offsets, [0, 0, 0, 0, 1]]).astype(np.int16))
    np.save(folder / "p00__d.npy", VectorSketch.fit(SQUARE).to_stroke5(20))
    (folder / "p00__e.json").write_text(json.dumps([[[0.5, 0.5]], [[0, 1], [1, 0]]]))
    np.save(folder / "p00__f.npy", [[1.0, 1.0, 1.0], [5.0, 0.0, 0.0], [-1.0, 5.0, 0.0]])
    dataset = load("folder", tmp_path, strict=True)
    wanted = VectorSketch.fit(SQUARE).strokes[0]
    for letter in "abcd":
        [stroke] = strokes_of(dataset, f"p00__{letter}")
        np.testing.assert_allclose(stroke, wanted, atol=1e-6)
    assert [stroke.tolist() for stroke in strokes_of(dataset, "p00__e")] == [[[0.5, 0.5]], [[0, 1], [1, 0]]]
    dot, line = strokes_of(dataset, "p00__f")  # the pen is lifted after the dot and comes down where the line starts
    assert (len(dot), len(line)) == (1, 2)
    np.testing.assert_allclose((line[0] - dot[0])[1], 0.0, atol=1e-6)


def test_photos_of_every_kind_and_shape(tmp_path: Path) -> None:
    folder = write(tmp_path, photos=0) / "photos"
    wide = np.zeros((50, 100, 3), dtype=np.uint8)
    wide[:, :50] = (255, 0, 0)
    picture = Image.fromarray(wide)
    picture.save(folder / "png.png")
    picture.save(folder / "jpg.JPG", quality=95)
    picture.save(folder / "webp.webp", lossless=True)
    picture.save(folder / "mislabelled.jpeg", format="WEBP", lossless=True)
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    picture.save(folder / "turned.jpg", quality=95, exif=exif)
    Image.new("RGBA", (60, 60), (0, 0, 0, 0)).save(folder / "clear.webp")
    for path in list(folder.iterdir()):
        (tmp_path / "sketches" / f"{path.stem}__1.json").write_text(json.dumps(SQUARE))
    dataset = load("folder", tmp_path, strict=True)
    for name in ("png", "jpg", "webp", "mislabelled"):
        photo = dataset.photo(name).astype(int)
        assert photo.shape == (256, 256, 3)
        assert photo[:60].min() == 255 and photo[-60:].min() == 255  # laid on white, not stretched
        assert abs(photo[128, 40] - (255, 0, 0)).max() < 10 and photo[128, 200].max() < 10
    assert abs(dataset.photo("turned")[128, 200].astype(int) - (255, 0, 0)).max() < 10
    assert (dataset.photo("clear") == 255).all()


def test_a_photo_without_a_sketch_is_a_candidate(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "sketches" / "p04__0.json").unlink()
    (tmp_path / "sketches" / "p04__1.json").unlink()
    dataset = load("folder", tmp_path, strict=True)
    assert "p04" not in dataset.photo_ids and sum("p04" in dataset.gallery(split) for split in SPLITS) == 1


def test_dot_files_are_nobodys(tmp_path: Path) -> None:
    write(tmp_path)
    for name in (
        "photos/.DS_Store",
        "sketches/.p00__1.tmp.json",
        ".imported",
        "photos/Thumbs.db",
        "sketches/desktop.ini",
    ):
        (tmp_path / name).write_text("?")
    assert len(load("folder", tmp_path, strict=True)) == 20


def test_accents_are_part_of_their_letters_however_they_are_written(tmp_path: Path) -> None:
    write(tmp_path, photos=4)
    one, two = (unicodedata.normalize(form, "Möbel 1") for form in ("NFC", "NFD"))
    assert one != two
    (tmp_path / "photos" / "p00.png").rename(tmp_path / "photos" / f"{two}.png")
    for number, name in enumerate((one, two)):
        (tmp_path / "sketches" / f"p00__{number}.json").rename(tmp_path / "sketches" / f"{name}__{number}.json")
    lists = {"train": [two, "p03"], "val": ["p01"], "test": ["p02"]}
    (tmp_path / "splits.json").write_text(json.dumps(lists))
    dataset = load("folder", tmp_path, strict=True)
    assert dataset.photo_ids.tolist().count(one) == 2 and one in dataset.gallery("train")
    assert dataset.photo(one).shape == (256, 256, 3)
    (tmp_path / "sketches" / f"{two}__0.json").write_bytes((tmp_path / "sketches" / "p01__0.json").read_bytes())
    _, wrong = check_folder(tmp_path)
    assert [reason for _, reason in wrong] == [f"sketches/{two}__0.json has the same name"]


@pytest.mark.parametrize("place", ["photos", "sketches"])
def test_folders_inside_are_called_so(tmp_path: Path, place: str) -> None:
    write(tmp_path, photos=4)
    (tmp_path / place / "more").mkdir()
    _, wrong = check_folder(tmp_path)
    assert wrong == ((f"{place}/more", "a folder: those inside are not looked at"),)


# ---------------------------------------------------------------------------------------------------------- splits


def test_the_default_division_depends_on_the_ids_alone(tmp_path: Path) -> None:
    first = load("folder", write(tmp_path / "a"))
    again = load("folder", write(tmp_path / "b", sketches=1))
    assert all(first.gallery(split).tolist() == again.gallery(split).tolist() for split in SPLITS)
    assert divided({"c", "a", "b"}, {"val": 1}) == divided(["a", "b", "c"], {"val": 1})
    assert len({json.dumps(divided(map(str, range(n)), {"val": n // 2})) for n in range(4, 9)}) == 5


def test_splits_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, photos=4)
    lists = {"train": ["p00", "p03"], "val": ["p01"], "test": ["p02"]}
    (tmp_path / "splits.json").write_text(json.dumps(lists))
    dataset = load("folder", tmp_path, strict=True)
    assert {split: sorted(photos_of(dataset, split)) for split in SPLITS} == {"student": [], **lists}
    divided_by_seed = load("folder", write(tmp_path / "again", photos=4))
    assert divided_by_seed.hash != dataset.hash


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ('{"dev": []}', "must be an object with lists named student, train, val, test"),
        ('{"train": "p00"}', "'train' must be a list of ids"),
        ('{"train": [1]}', "'train' must be a list of ids"),
        ('{"train": ["p00"], "val": ["p00"]}', "photo 'p00' is listed twice, in 'train' and in 'val'"),
        ("[" * 100_000, "holds 100,000 lists; at most 10"),
        ('{"train": ["p00"], "train": []}', "the field 'train' twice"),
        ('{"train": [NaN]}', "NaN is no number"),
    ],
)
def test_wrong_splits_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    write(tmp_path, photos=2)
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(ValueError, match=rf"splits\.json: .*{reason}"):
        load("folder", tmp_path)
    dataset, [(name, told)] = check_folder(tmp_path)
    assert dataset is None and name == str(tmp_path) and reason in told


def test_splits_that_do_not_fit_the_folder(tmp_path: Path) -> None:
    write(tmp_path, photos=3)
    (tmp_path / "splits.json").write_text(json.dumps({"val": ["p00", "q"], "test": ["p01"]}))
    with pytest.warns(SkippedDataWarning, match=r"4 of 4 sketches and 2 of 2 photos .*'q'.*p02.*not list it"):
        dataset = load("folder", tmp_path)
    assert set(dataset.photo_ids) == {"p00", "p01"}
    assert dataset.skipped == (
        ("splits.json", "lists 'q', but there is no such photo"),
        ("photos/p02.png", "splits.json does not list it"),
    )


# ------------------------------------------------------------------------------------------------------- bad files


def _text(text: str, name: str = "p02__0.json") -> Callable[[Path], str]:
    def spoil(folder: Path) -> str:
        (folder / "sketches" / name).write_text(text, encoding="utf-8", errors="surrogateescape")
        return f"sketches/{name}"

    return spoil


def _array(array: object, **how: object) -> Callable[[Path], str]:
    def spoil(folder: Path) -> str:
        (folder / "sketches" / "p02__0.json").unlink()
        np.save(folder / "sketches" / "p02__0.npy", array, **how)  # type: ignore[arg-type]
        return "sketches/p02__0.npy"

    return spoil


def _cut_array(folder: Path) -> str:
    path = folder / _array(np.zeros((9, 3)))(folder)
    path.write_bytes(path.read_bytes()[:-1])
    return "sketches/p02__0.npy"


def _headless_array(folder: Path) -> str:
    path = folder / _array(np.zeros((9, 3)))(folder)
    path.write_bytes(path.read_bytes().replace(b"(9, 3)", b"(((((("))
    return "sketches/p02__0.npy"


def _lying_array(folder: Path) -> str:
    path = folder / _array(np.zeros((9, 3)))(folder)
    path.write_bytes(path.read_bytes().replace(b"(9, 3)", b"(8, 3)"))
    return "sketches/p02__0.npy"


def _photo(change: Callable[[Path], object], name: str = "p02.png") -> Callable[[Path], str]:
    def spoil(folder: Path) -> str:
        change(folder / "photos" / name)
        return f"photos/{name}"

    return spoil


def _linked_out(inside: str) -> Callable[[Path], str]:
    def spoil(folder: Path) -> str:
        outside = folder.parent / "outside"
        (folder / inside).rename(outside)
        (folder / inside).symlink_to(outside)
        return inside

    return spoil


BAD_SKETCHES = {
    "no JSON": (_text("{"), "not JSON"),
    "not UTF-8": (_text("\udcff"), "not a text in UTF-8"),
    "deep": (_text("[" * 50_000), "nested too deep"),
    "many lists": (_text("[" + "[]," * 100_000), "holds 100,001 lists; at most 55,100"),
    "NaN": (_text("[[[0, NaN]]]"), "NaN is no number"),
    "infinity": (_text("[[[0, 1e999]]]"), "not finite"),
    "empty": (_text("[]"), "empty"),
    "an empty stroke": (_text("[[]]"), "stroke 0 needs shape"),
    "an object": (_text('{"strokes": []}'), "no list of strokes"),
    "texts": (_text('[[["0", "1"]]]'), "something else than numbers"),
    "truths": (_text("[[[true, false]]]"), "something else than numbers"),
    "nothings": (_text("[[[null, 1]]]"), "something else than numbers"),
    "large integers": (_text(f"[[[{'9' * 400}, 1]]]"), "not finite"),
    "ragged": (_text("[[[0, 1], [2]]]"), "different lengths"),
    "flat": (_text("[[0, 1]]"), "needs shape"),
    "three columns": (_text("[[[0, 1, 2]]]"), "needs shape"),
    "too many points": (_text(json.dumps([[[0, 1]] * 50_001])), "at most"),
    "a huge JSON": (_text("[" + " " * 5 * 2**20 + "]"), "5,242,882 bytes; at most"),
    "objects": (_array(np.array([{}]), allow_pickle=True), "holds object, not real numbers"),
    "complex": (_array(np.zeros((3, 3), complex)), "holds complex128"),
    "NaN offsets": (_array(np.full((3, 3), np.nan)), "not finite"),
    "no rows": (_array(np.zeros((0, 3))), "empty: it has no points"),
    "four columns": (_array(np.zeros((3, 4))), r"an array of shape \(3, 4\)"),
    "pens": (_array(np.full((3, 3), 2.0)), "a pen state"),
    "stroke-5 of one direction": (_array([[0, 0, 1, 0, 0], [2, 0, 0, 1, 0]]), "may be sketch-rnn's stroke-5"),
    "stroke-5 of no pen": (_array(np.zeros((3, 5))), "must be one-hot"),
    "a cut array": (_cut_array, "a damaged .npy file"),
    "an array without a shape": (_headless_array, "not a .npy file, or a damaged one"),
    "a lying array": (_lying_array, "a damaged .npy file"),
    "an SVG bomb": (_text(SVG_BOMB, "p02__9.svg"), "entities are refused"),
    "an empty SVG": (_text("<svg/>", "p02__9.svg"), "stroke"),
    "a link out": (_linked_out("sketches/p02__0.json"), "a link that leads out of"),
    "no photo": (_text(json.dumps(SQUARE), "q__0.json"), "there is no photo 'q'"),
    "no underlines": (_text(json.dumps(SQUARE), "p02.json"), "not of the form"),
    "an odd character": (_text(json.dumps(SQUARE), "p02__[bold].json"), "not of the form"),
    "another ending": (_text("?", "p02__0.txt"), "its ending is none of .svg, .json, .npy"),
    "twice": (_text("<svg><path d='M0 0L9 9'/></svg>", "p02__0.svg"), "sketches/p02__0.json has the same name"),
}
BAD_PHOTOS = {
    "cut short": (_photo(lambda path: path.write_bytes(path.read_bytes()[:-40])), "a damaged PNG file"),
    "a text": (_photo(lambda path: path.write_text("<html>")), "neither a PNG nor a JPEG nor a WebP file"),
    "too wide": (_photo(lambda path: Image.new("L", (70_000, 1)).save(path)), "70000 x 1 pixels; at most"),
    "too large a JPEG": (
        _photo(lambda path: Image.new("L", (9_000, 8_000)).save(path, format="JPEG")),
        "^a picture of 9000 x 8000 pixels; at most",
    ),
    "too large a WebP": (
        _photo(lambda path: Image.new("L", (2_100, 2_000)).save(path, format="WEBP")),
        "^a picture of 2100 x 2000 pixels; at most",
    ),
    "a WebP that claims much": (
        _photo(lambda path: path.write_bytes(b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff\x3f\0" * 2)),
        "^a picture of 16384 x 16384 pixels; at most",  # and not what a decoder says that has made room for it
    ),
    "a WebP that claims nothing": (
        _photo(lambda path: path.write_bytes(b"RIFF\x16\0\0\0WEBPJUNK" + bytes(14))),
        "a damaged WebP file: it does not say how large it is",
    ),
    "a huge file": (_photo(lambda path: os.truncate(path, 2**33)), "8,589,934,592 bytes; at most"),
    "a link out": (_linked_out("photos/p02.png"), "a link that leads out of"),
    "a folder": (_photo(lambda path: (path.unlink(), path.mkdir())), "not a plain file"),
}


@pytest.mark.parametrize("case", BAD_SKETCHES)
def test_a_bad_sketch_is_named_and_left_out(tmp_path: Path, case: str) -> None:
    spoil, reason = BAD_SKETCHES[case]
    folder = write(tmp_path / "root", photos=5)
    name = spoil(folder)
    with pytest.warns(SkippedDataWarning) as warned:
        dataset = load("folder", folder)
    assert warned[0].filename == __file__
    [(skipped, told)] = dataset.skipped
    assert skipped == name and f"{name}: {told}" in str(warned[0].message)
    assert len(dataset) >= 9 and "p02" in dataset.photo_ids
    with pytest.raises(ValueError, match="cannot be used") as refused:
        load("folder", folder, strict=True)
    assert f"{name}: {told}" in str(refused.value)
    usable, wrong = check_folder(folder)
    assert usable is not None and usable.hash == dataset.hash and wrong == ((name, told),)
    assert re.search(reason, told), told


@pytest.mark.parametrize("case", BAD_PHOTOS)
def test_a_bad_photo_is_named_and_left_out_with_its_sketches(tmp_path: Path, case: str) -> None:
    spoil, reason = BAD_PHOTOS[case]
    folder = write(tmp_path / "root", photos=5)
    whole = load("folder", folder)
    name = spoil(folder)
    with pytest.warns(SkippedDataWarning, match=r"8 of 10 sketches and 4 of 5 photos are used"):
        dataset = load("folder", folder)
    [(skipped, told)] = dataset.skipped
    assert skipped == name
    assert re.search(reason, told), told
    assert "p02" not in dataset.photo_ids and not any("p02" in dataset.gallery(split) for split in SPLITS)
    for split in SPLITS:  # no other photo moves
        assert set(whole.gallery(split)) - {"p02"} == set(dataset.gallery(split))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("p.gif", "its ending is none of"),
        ("a__b.png", "its name is no id"),
        ("[x].png", "its name is no id"),
        ("p02.jpg", "photos/p02.jpg has the same id|photos/p02.png has the same id"),
    ],
)
def test_photos_that_are_named_wrongly(tmp_path: Path, name: str, reason: str) -> None:
    write(tmp_path, photos=5)
    Image.new("L", (9, 9)).save(tmp_path / "photos" / name)
    _, wrong = check_folder(tmp_path)
    assert len(wrong) == 1 and wrong[0][0].startswith("photos/") and re.search(reason, wrong[0][1])


def test_files_that_change_or_go_later_are_noticed(tmp_path: Path) -> None:
    dataset = load("folder", write(tmp_path, photos=5))
    Image.new("RGB", (9, 9)).save(tmp_path / "photos" / "p01.png")
    with pytest.raises(ValueError, match=r"p01\.png: changed since the data set was loaded"):
        dataset.photo("p01")
    (tmp_path / "photos" / "p01.png").unlink()
    with pytest.raises(ValueError, match=r"p01\.png: no such file"):
        dataset.photo("p01")
    with pytest.raises(KeyError, match="no photo 'p99'"):
        dataset.photo("p99")
    path = tmp_path / "sketches" / f"{dataset.sketch_ids[0]}.json"
    path.write_text(json.dumps(SQUARE))
    path.unlink()
    before = toy_sketch(10 * int(dataset.sketch_ids[0][1:3]))
    assert all(map(np.array_equal, dataset.sketch(0).strokes, before.strokes))  # sketches stay what they were


def test_the_hash_is_of_what_decides_a_result(tmp_path: Path) -> None:
    folder = write(tmp_path, photos=5)
    first = load("folder", folder).hash
    path = folder / "sketches" / "p00__0.json"
    strokes = json.loads(path.read_text())
    path.write_text(json.dumps(strokes, indent=3))
    assert load("folder", folder).hash == first  # the same strokes, written otherwise
    strokes[0][0][0] = 0.25
    path.write_text(json.dumps(strokes))
    second = load("folder", folder).hash
    assert second != first
    Image.new("RGB", (9, 9)).save(folder / "photos" / "p01.png")
    third = load("folder", folder).hash
    assert third not in (first, second)
    path.rename(path.with_stem("p01__7"))
    assert load("folder", folder).hash not in (first, second, third)


def test_roots(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="which folder"):
        load("folder")
    for missing in ("nowhere", "empty"):
        (tmp_path / "empty" / "photos").mkdir(parents=True, exist_ok=True)
        with pytest.raises(FileNotFoundError, match="there must be photos/<id>"):
            load("folder", tmp_path / missing)
        with pytest.raises(FileNotFoundError, match="there must be photos/<id>"):
            check_folder(tmp_path / missing)
    (tmp_path / "empty" / "sketches").mkdir()
    with pytest.raises(ValueError, match="holds no sketch"):
        load("folder", tmp_path / "empty")
    assert check_folder(tmp_path / "empty")[1] == (("sketches", "holds no sketch"),)


# ---------------------------------------------------------------------------------------------------- name and root


def test_name_and_root_in_one_string(tmp_path: Path) -> None:
    folder = write(tmp_path / "a folder: mine")
    dataset = load(f"folder:{folder}")
    assert dataset.hash == load("folder", folder).hash
    assert load(f"folder:{folder}") is dataset and load(f"folder:{folder}/") is dataset
    (folder / "sketches" / "p00__0.json").write_text(json.dumps(SQUARE))
    changed = load(f"folder:{folder}")
    assert changed.hash != dataset.hash and load(f"folder:{folder}") is changed
    qmul = write_qmul(tmp_path / "chairs", qmul_arrays())
    assert load(f"chairv2:{qmul}").hash == load("chairv2", qmul).hash
    with pytest.raises(ValueError, match="say where the data are once"):
        load(f"folder:{folder}", folder)
    with pytest.raises(ValueError, match="say where the data are once"):
        load("folder:")
    with pytest.raises(ValueError, match="'emoji' needs no root"):
        load(f"emoji:{folder}")
    with pytest.raises(ValueError, match=r"unknown data set 'shoes:x'; there are emoji, .*chairv2, .*folder"):
        load("shoes:x")
    (folder / "sketches" / "p00__0.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be used"):
        load(f"folder:{folder}", strict=True)
    with pytest.warns(SkippedDataWarning) as warned:
        load(f"folder:{folder}")
    assert warned[0].filename == __file__


def test_an_environment_finds_its_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    table = tabulate(HogRetriever(), load("folder", folder), (32, 64)).save(tmp_path / "table.npz")
    kwargs = {"dataset": f"folder:{folder}", "table": str(table), "canvases": (32, 64), "split": "val"}
    env = gym.make("SketchCanvas-v0", **kwargs)
    env.reset(seed=0)
    assert env.step(1)[4]["canvas"] == 64
    assert json.loads(env.spec.to_json())["kwargs"]["dataset"] == f"folder:{folder}"  # type: ignore[union-attr]
    assert CanvasArguments(**kwargs).make() is CanvasArguments(**kwargs).make()
    with pytest.raises(ValueError, match="which folder"):
        CanvasArguments(**{**kwargs, "dataset": "folder"}).make()
    (folder / "sketches" / "p00__0.json").write_text(json.dumps(SQUARE))
    with pytest.raises(ValueError, match="tabulate it anew"):
        CanvasArguments(**kwargs).make()


# --------------------------------------------------------------------------------------------------------- writing


def same_data(one: SketchDataset, other: SketchDataset) -> bool:
    """Whether photos, splits and each photo's sketches, in their order, are the same."""
    for split in SPLITS:
        if sorted(one.gallery(split).tolist()) != sorted(other.gallery(split).tolist()):
            return False
        for photo in one.gallery(split).tolist():
            if not np.array_equal(one.photo(photo), other.photo(photo)):
                return False
            mine, its = (np.flatnonzero((d.photo_ids == photo) & (d.split == split)) for d in (one, other))
            for a, b in zip(mine, its, strict=True):
                strokes = zip(one.sketch(int(a)).strokes, other.sketch(int(b)).strokes, strict=True)
                if not all(np.array_equal(s, t) for s, t in strokes):
                    return False
    return True


def test_a_written_data_set_is_the_same(tmp_path: Path) -> None:
    original = load("chairv2", write_qmul(tmp_path / "chairs", qmul_arrays(sketches=12)))
    assert write_folder(original, tmp_path / "out") == ()
    copy = load("folder", tmp_path / "out", strict=True)
    assert same_data(original, copy)
    assert (copy.licence, copy.citation) == (original.licence, original.citation)
    once_more = write_folder(copy, tmp_path / "again")
    assert once_more == () and load("folder", tmp_path / "again").hash == copy.hash


def test_what_a_folder_cannot_say_is_told(tmp_path: Path) -> None:
    toy = toy_dataset()
    square = replace(
        toy, galleries={**toy.galleries, "val": np.append(toy.galleries["val"], toy.galleries["train"][:2])}
    )
    [galleries] = write_folder(square, tmp_path)
    assert galleries.startswith("galleries")
    copy = load("folder", tmp_path, strict=True)
    assert copy.gallery("val").tolist() == sorted(toy.gallery("val").tolist())
    assert len(copy) == len(toy)
    # What it can say: abstraction levels.
    assert sorted(zip(copy.photo_ids.tolist(), copy.level.tolist(), strict=True)) == sorted(
        zip(toy.photo_ids.tolist(), toy.level.tolist(), strict=True)
    )


def test_writing_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    original = load("chairv2", write_qmul(tmp_path / "chairs", qmul_arrays()))

    calls = []

    def on_file() -> None:
        calls.append(1)
        if len(calls) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(original, tmp_path / "out", on_file)
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*")}
    assert len(first) == 20
    write_folder(original, tmp_path / "out")
    assert all(path.stat().st_mtime_ns == modified for path, modified in first.items())
    assert same_data(original, load("folder", tmp_path / "out", strict=True))


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    original = load("chairv2", write_qmul(tmp_path / "chairs", qmul_arrays()))
    other = load("chairv2", write_qmul(tmp_path / "others", qmul_arrays(sketches=3)))
    write_folder(original, tmp_path / "out")
    with pytest.raises(ValueError, match="holds another data set, or another version"):
        write_folder(other, tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(ValueError, match="is not empty"):
        write_folder(original, tmp_path / "mine")


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    toy = toy_dataset()
    bad = replace(toy, galleries={**toy.galleries, "val": np.append(toy.galleries["val"], "../../x")})
    with pytest.raises(ValueError, match=r"photo '\.\./\.\./x' cannot be the name of a file"):
        write_folder(bad, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------------------------------------------- a single drawing


def test_one_drawing_is_read_alike_from_every_format(tmp_path: Path) -> None:
    """In whatever coordinates: pixels, fractions in a corner of the canvas, offsets."""
    small = VectorSketch.from_strokes([0.3 * stroke for stroke in toy_sketch(7).strokes])
    points = np.concatenate([200 * stroke for stroke in small.strokes])
    last = np.concatenate([np.arange(len(stroke)) == len(stroke) - 1 for stroke in small.strokes])
    offsets = np.diff(points, axis=0, prepend=np.zeros((1, 2)))
    (tmp_path / "a.svg").write_text(small.to_svg())
    (tmp_path / "fractions.json").write_text(json.dumps([stroke.tolist() for stroke in small.strokes]))
    (tmp_path / "pixels.JSON").write_text(json.dumps([(200 * stroke).tolist() for stroke in small.strokes]))
    np.save(tmp_path / "stroke3.npy", np.column_stack([offsets, last]))
    np.save(tmp_path / "stroke5.npy", small.to_stroke5(small.n_points))
    wanted = VectorSketch.fit(small.strokes)
    for file in tmp_path.iterdir():
        found = read_drawing(file)
        assert found.n_strokes == wanted.n_strokes, file
        for ours, theirs in zip(found.strokes, wanted.strokes, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-3, err_msg=file.name)


def test_what_is_no_drawing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content, message in (
        ("photo.jpg", b"", r"photo\.jpg is no drawing that can be read: there are \.svg, \.json .* and \.npy"),
        ("drawing", b"<svg/>", "is no drawing that can be read"),
        ("a.npy", b"no array", r"a\.npy: not a \.npy file"),
        ("a.json", b"{}", r"a\.json: empty, or no list of strokes"),
        ("a.svg", b"<svg", r"a\.svg: not well-formed"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_drawing(tmp_path / name)
    for ending in (".svg", ".json", ".npy"):
        with pytest.raises(FileNotFoundError, match="nothing"):
            read_drawing(tmp_path / f"nothing{ending}")
        os.mkfifo(tmp_path / f"pipe{ending}")
        with pytest.raises(ValueError, match="not a plain file"):
            read_drawing(tmp_path / f"pipe{ending}")
    monkeypatch.setattr("sketchcanvas_env.data.formats.folder._MAX_SKETCH_BYTES", 1)
    with pytest.raises(ValueError, match=r"a\.npy: at most 1 bytes are read"):
        read_drawing(tmp_path / "a.npy")


# ------------------------------------------------------------------------------------------ known gallery, conditions


def _split_by_drawing(folder: Path, **lists: list[str]) -> None:
    (folder / "splits.json").write_text(json.dumps(lists))


def test_splits_that_name_sketches_make_a_known_gallery(tmp_path: Path) -> None:
    write(tmp_path, photos=4, sketches=3)
    lists = {
        "student": ["p03__0", "p03__1", "p03__2", "p00__2"],
        "train": ["p00__0", "p01__0"],
        "val": ["p00__1", "p01__1"],
        "test": ["p01__2"],
    }
    _split_by_drawing(tmp_path, **lists)
    with pytest.warns(SkippedDataWarning, match=r"p02__0\.json, .*p02__2\.json: splits\.json does not list it"):
        dataset = load("folder", tmp_path)
    assert dataset.known_gallery
    assert {split: dataset.sketch_ids[dataset.indices(split)].tolist() for split in SPLITS} == {
        split: sorted(names) for split, names in lists.items()
    }
    for split in ("train", "val", "test"):  # p02 has no sketch in use: a candidate; p03 is the student's alone
        assert dataset.gallery(split).tolist() == ["p00", "p01", "p02"]
    assert dataset.gallery("student").tolist() == ["p00", "p03"]
    row = dataset.sketch_ids.tolist().index("p01__2")
    assert all(map(np.array_equal, dataset.sketch(row).strokes, toy_sketch(12).strokes))


def test_a_known_gallery_survives_being_written_and_read(tmp_path: Path) -> None:
    _split_by_drawing(write(tmp_path / "a", photos=2), train=["p00__0", "p01__0"], test=["p00__1"], val=["p01__1"])
    (tmp_path / "a" / "conditions.csv").write_text("sketch,name\np00__0,hasty\np01__1,slow\n")
    first = load("folder", tmp_path / "a")
    assert write_folder(first, tmp_path / "b") == ()
    again = load("folder", tmp_path / "b", strict=True)
    assert again.known_gallery and again.sketch_ids.tolist() == first.sketch_ids.tolist()
    assert again.split.tolist() == first.split.tolist()
    assert again.conditions is not None and again.conditions.tolist() == ["hasty", "", "", "slow"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{"train": ["p00__0", "p01__0"], "val": ["p00__0"]}',
            "sketch 'p00__0' is listed twice, in 'train' and in 'val'",
        ),
        (
            '{"train": ["p00__0", "p00__9"], "val": ["p77__1"]}',
            "lists 'p00__9' and 1 more, but there is no such sketch",
        ),
        ('{"train": ["p00"], "val": ["p01__0"]}', "lists the photo 'p00' and the sketch 'p01__0'"),
        ('{"train": ["p00__0"], "train": ["p01__0"]}', "not JSON: an object has the field 'train' twice"),
        (json.dumps({"train": [f"p00__{k}" for k in range(200_000)]}), "2,888,901 bytes; at most 1,012,000 are read"),
    ],
)
def test_wrong_splits_by_sketch_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, reason: str
) -> None:
    write(tmp_path, photos=2)
    (tmp_path / "splits.json").write_text(text)
    monkeypatch.setattr("sketchcanvas_env.data.file_dataset.read_picture", lambda _: pytest.fail("a photo is decoded"))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path / 'splits.json'))}: {re.escape(reason)}") as told:
        load("folder", tmp_path)
    assert "\n" not in str(told.value)


def test_conditions_belong_to_their_sketches(tmp_path: Path) -> None:
    write(tmp_path, photos=3)
    plain = load("folder", tmp_path)
    assert plain.conditions is None
    (tmp_path / "conditions.csv").write_text("\ufeffsketch,name\np00__0,in a hurry\np02__1,slow\nq__1,slow\n")
    with pytest.warns(SkippedDataWarning, match=r"conditions\.csv: names 'q__1', but there is no such sketch"):
        dataset = load("folder", tmp_path)
    assert dataset.conditions is not None and dataset.hash != plain.hash
    assert dict(zip(dataset.sketch_ids.tolist(), dataset.conditions.tolist(), strict=True)) == {
        **dict.fromkeys(plain.sketch_ids.tolist(), ""), "p00__0": "in a hurry", "p02__1": "slow"
    }  # fmt: skip
    assert not dataset.level.any()


def test_conditions_called_0_to_3_are_abstraction_levels(tmp_path: Path) -> None:
    write(tmp_path, photos=2)
    (tmp_path / "conditions.csv").write_text("p00__1,3\np01__0,1\n")
    dataset = load("folder", tmp_path)
    assert dataset.conditions is None
    assert dict(zip(dataset.sketch_ids.tolist(), dataset.level.tolist(), strict=True)) == {
        "p00__0": 0, "p00__1": 3, "p01__0": 1, "p01__1": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("p00__0,a\np00__0,b\n", "line 2: sketch 'p00__0' has two conditions"),
        ("p00__0\n", "line 1: 1 cells, not a sketch and a name"),
        ("p00__0,\n", "line 1: '' is no name"),
        ("p00__0,a\x1b[31m\n", r"line 1: 'a\x1b[31m' is no name"),
        ("p00__0,a\n" * 10_000, "10,000 lines for 4 sketches"),
    ],
)
def test_wrong_conditions_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    write(tmp_path, photos=2)
    (tmp_path / "conditions.csv").write_text(text)
    with pytest.raises(ValueError, match=re.escape(f"conditions.csv: {reason}")):
        load("folder", tmp_path)


# ------------------------------------------------------------------------------------------------- what people have


def test_a_byte_order_mark_is_read_everywhere(tmp_path: Path) -> None:
    write(tmp_path, photos=2)
    square = VectorSketch.fit(SQUARE).strokes
    (tmp_path / "sketches" / "p00__0.json").write_text(json.dumps(SQUARE), encoding="utf-8-sig")
    (tmp_path / "sketches" / "p00__1.json").write_text(json.dumps(SQUARE), encoding="utf-16")
    (tmp_path / "splits.json").write_text('{"train": ["p00"], "val": ["p01"]}', encoding="utf-8-sig")
    (tmp_path / "LICENCE.txt").write_text("mine", encoding="utf-8-sig")
    dataset = load("folder", tmp_path, strict=True)
    for name in ("p00__0", "p00__1"):
        assert all(map(np.array_equal, strokes_of(dataset, name), square))
    assert dataset.licence == "mine" and dataset.gallery("val").tolist() == ["p01"]


def test_names_as_systems_make_them(tmp_path: Path) -> None:
    write(tmp_path, photos=1, sketches=1)
    (tmp_path / "sketches" / "p00__0.json").rename(tmp_path / "sketches" / "p00__a (1).json")
    (tmp_path / "photos" / "p00.png").unlink()
    Image.new("RGB", (9, 9)).save(tmp_path / "photos" / "p00.jfif", format="JPEG")
    assert load("folder", tmp_path, strict=True).sketch_ids.tolist() == ["p00__a (1)"]
    (tmp_path / "sketches" / "p00__?.json").write_text("[]")
    [(_, reason)] = check_folder(tmp_path)[1]
    assert "letters, digits, spaces and ._-+()" in reason


def test_an_svg_is_scaled_by_its_box_and_says_so_or_keeps_its_place(tmp_path: Path) -> None:
    write(tmp_path, photos=1, sketches=0)
    (tmp_path / "sketches" / "p00__0.svg").write_text('<svg viewBox="0 0 10 10"><path d="M1,1 3,1"/></svg>')
    scaled = load("folder", tmp_path)
    assert scaled.sketch(0).strokes[0][:, 0] == pytest.approx([0.08, 0.92])
    assert scaled.notes == (SCALED_SVG,)
    kept = load("folder", tmp_path, keep_place=True)
    assert kept.sketch(0).strokes[0].tolist() == [pytest.approx([0.1, 0.1]), pytest.approx([0.3, 0.1])]
    assert kept.notes == () and kept.hash != scaled.hash
    assert load(f"folder:{tmp_path}", keep_place=True).hash == kept.hash


def test_sketches_are_parsed_once_for_each_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, photos=1, sketches=0)
    path = tmp_path / "sketches" / "p00__0.svg"
    path.write_text('<svg viewBox="0 0 10 10"><path d="M1,1 3,1 7.123,4"/></svg>')
    first = load("folder", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(folder_format.svg, "read_svg", lambda *_, **__: pytest.fail("parsed again"))
        again = load("folder", tmp_path)
    assert again.hash == first.hash and np.array_equal(again.sketch(0).strokes[0], first.sketch(0).strokes[0])
    path.write_text('<svg viewBox="0 0 10 10"><path d="M1,1 3,1 7.124,4"/></svg>')
    assert load("folder", tmp_path).hash != first.hash


def test_a_licence_cannot_command_a_terminal(tmp_path: Path) -> None:
    write(tmp_path, photos=1)
    (tmp_path / "LICENCE.txt").write_text("free\x1b]0;evil title\x07 \x1b[31mred\n\u202eline 2")
    assert load("folder", tmp_path).licence == "free\\x1b]0;evil title\\x07 \\x1b[31mred\n\\u202eline 2"


def test_a_hundred_equal_complaints_are_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "root", photos=1)
    for number in range(100):
        (folder / "photos" / f"x{number:03}.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.warns(SkippedDataWarning, match=r"1 of 101 photos are used; left out: photos/x000\.png, .*") as warned:
        dataset = load("folder", folder)
    assert len(str(warned[0].message)) < 600 and "and 95 more: a link that leads out of" in str(warned[0].message)
    assert len(dataset.skipped) == 100
    with pytest.raises(ValueError, match="and 80 more: a link") as refused:
        load("folder", folder, strict=True)
    assert str(refused.value).count("\n") == 1


def test_counts_do_not_contradict_the_names(tmp_path: Path) -> None:
    write(tmp_path, photos=2, sketches=1)
    for name in ("p00.txt", "p00__3.doc", "p00__4.pdf"):
        (tmp_path / "sketches" / name).write_text("?")
    with pytest.warns(SkippedDataWarning, match=r"2 of 2 sketches and 2 of 2 photos are used; left out: .*p00__3\.doc"):
        load("folder", tmp_path)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, photos=1, sketches=1)
    path = folder / "sketches" / "p00__0.json"
    real = os.fstat

    def fstat(handle: int) -> os.stat_result:
        state = real(handle)
        with path.open("a") as file:
            file.write(" ")
        return state

    monkeypatch.setattr("sketchcanvas_env.storage.untrusted.os.fstat", fstat)
    with pytest.raises(ValueError, match="changed while it was read; try again once it is complete"):
        read_inside(folder, path, 10_000)
