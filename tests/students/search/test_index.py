"""Indexes: every picture once, whatever happens on the way; and untrusted files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import students
from sketchcanvas_env.data.pictures.photos import on_white
from students.search import building, index
from students.search.index import PhotoIndex
from students.store import cards
from students.tables import blocks
from tests.helpers import unit

Tensors = dict[str, Any]


class Colours:
    """Embeds a photo as its mean colour, and remembers how many it was shown; `patience` of them at most."""

    name = "colours"
    weights_hash = "c" * 64
    canvases = (16, 32)

    def __init__(self, patience: int = 10**6) -> None:
        self.seen = 0
        self._patience = patience

    def flops(self, canvas: int) -> float:
        return 1e9 * canvas

    def embed(self, *_: object) -> np.ndarray:
        raise NotImplementedError

    def embed_photos(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        assert images.shape[1:] == (256, 256, 3) and images.dtype == np.uint8
        if (images != 255).any():  # a blank one is asked for to see how long an embedding is
            self.seen += len(images)
        if self.seen > self._patience:
            raise KeyboardInterrupt
        return unit(images.reshape(len(images), -1, 3).mean(axis=1) + 1)


def write_pictures(folder: Path, n: int = 9) -> dict[str, Image.Image]:
    """Plain pictures in three formats and two folders, none of them square; by their name in an index."""
    (folder / "sub" / "deep").mkdir(parents=True)
    pictures = {}
    for i in range(n):
        name = f"{('', 'sub/', 'sub/deep/')[i % 3]}picture {i}{('.png', '.jpg', '.WEBP')[i % 3]}"
        picture = Image.new("RGB", (40 + i, 20), tuple(int(c) for c in np.random.default_rng(i).integers(0, 255, 3)))
        picture.save(folder / name, lossless=True, quality=95)
        pictures[name] = picture
    return pictures


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures")
    return tmp_path / "pictures"


def build(folder: Path | str, path: Path, student: Colours | None = None, strict: bool = False) -> PhotoIndex:
    return building.build(student or Colours(), "colours", folder, path, strict)


def made(**changes: Any) -> PhotoIndex:
    fields: dict[str, Any] = {
        "ids": ("a.png", "b/c.png", "d.png"),
        "embeddings": unit(np.random.default_rng(0).normal(size=(3, 4))),
        "student": "colours",
        "student_hash": "c" * 64,
        "kind": "folder",
        "source": "pictures",
    }
    return PhotoIndex(**{**fields, **changes})


# ---------------------------------------------------------------- building


def test_every_picture_is_embedded_as_it_would_be_alone(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures")
    found = build(tmp_path / "pictures", tmp_path / "my.index")
    assert sorted(found.ids) == sorted(pictures)
    assert found.skipped == ()
    for name, embedding in zip(found.ids, found.embeddings, strict=True):
        # Laid on a white square, not stretched.
        square = Image.new("RGB", (pictures[name].width,) * 2, "white")
        square.paste(pictures[name], (0, (pictures[name].width - 20) // 2))
        alone = Colours().embed_photos(on_white(square)[None])[0]
        assert embedding == pytest.approx(alone, abs=0.01)  # JPEG
        assert np.array_equal(embedding, Colours().embed_photos(found.photo(name)[None])[0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my.index.safetensors", "pictures"]


@pytest.mark.parametrize("ending", ["", ".safetensors"])
def test_it_reads_back_what_it_wrote(folder: Path, tmp_path: Path, ending: str) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    wrote = build(folder, tmp_path / "my.index")
    read = index.load(f"{tmp_path / 'my.index'}{ending}")
    assert np.array_equal(read.embeddings, wrote.embeddings)
    for name in ("ids", "student", "student_hash", "kind", "source", "skipped"):
        assert getattr(read, name) == getattr(wrote, name)
    assert read.source == str(folder)
    assert np.array_equal(read.states, wrote.states)
    assert not read.embeddings.flags.writeable
    card = cards.read_card(tmp_path / "my.index.safetensors", index.KIND)
    assert (card["photos"], card["dim"], card["skipped"]) == (9, 3, 1)
    assert card["versions"]["numpy"] == np.__version__


def test_what_cannot_be_used_is_named_and_left_out(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    Image.new("RGB", (9, 9)).save(outside)
    (folder / "cut.png").write_bytes(outside.read_bytes()[:50])
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty.webp").touch()
    (folder / "line\nbreak.png").write_bytes(outside.read_bytes())
    (folder / "out.png").symlink_to(outside)
    (folder / "nowhere.png").symlink_to(tmp_path / "nothing")
    (folder / "all.png").symlink_to(tmp_path)
    (folder / "in.png").symlink_to(folder / "picture 0.png")
    (folder / "pipe.png").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe.png")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "Thumbs.db").write_bytes(b"")
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "a.png").write_bytes(b"")
    os.truncate(folder / "picture 3.png", 0)
    with open(folder / "large.jpg", "wb") as large:
        large.truncate(21 << 20)
    found = build(folder, tmp_path / "my")
    assert {name: reason.split(" (")[0] for name, reason in found.skipped} == {
        "notes.txt": "its ending is none of .png, .jpg, .jpeg, .webp",
        "'line\\nbreak.png'": "its name has characters that cannot be printed",
        "nowhere.png": "cannot be read: No such file or directory",
        "all.png": "a link to a folder: only folders themselves are searched",
        "cut.png": "a damaged PNG file: it is cut short",
        "empty.webp": "neither a PNG nor a JPEG nor a WebP file",
        "picture 3.png": "neither a PNG nor a JPEG nor a WebP file",
        "out.png": f"a link that leads out of {folder}",
        "pipe.png": "a pipe, not a plain file",
        "large.jpg": "22,020,096 bytes; at most 20,971,520 are read",
    }
    assert "in.png" in found.ids and len(found) == 9
    assert np.array_equal(index.load(tmp_path / "my").embeddings, found.embeddings)
    with pytest.raises(ValueError, match=r"10 files of .* cannot be used\n(.*\n)*  cut.png: a damaged PNG"):
        build(folder, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict.safetensors").exists()


def test_a_name_that_is_no_text(folder: Path, tmp_path: Path) -> None:
    try:
        (folder / os.fsdecode(b"\xff.png")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    found = build(folder, tmp_path / "my")
    assert found.skipped == (("'\\udcff.png'", "its name has characters that cannot be printed"),)
    assert index.load(tmp_path / "my").skipped == found.skipped


def test_a_build_that_was_interrupted_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 2)
    (folder / "bad.png").write_bytes(b"no picture")
    whole = build(folder, tmp_path / "whole")
    first = Colours(patience=5)
    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "my", first)
    assert not (tmp_path / "my.safetensors").exists()
    second = Colours()
    found = build(folder, tmp_path / "my", second)
    assert second.seen <= 9 - 4  # two blocks of two were stored
    assert np.array_equal(found.embeddings, whole.embeddings) and found.ids == whole.ids
    assert found.skipped == whole.skipped != ()
    assert not (tmp_path / "my.unfinished").exists()


def test_rows_of_other_pictures_are_not_taken_up(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 2)
    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "my", Colours(patience=7))
    Image.new("RGB", (33, 33), "black").save(folder / "picture 0.png")
    found = build(folder, tmp_path / "my")
    place = found.ids.index("picture 0.png")
    assert found.embeddings[place] == pytest.approx([3**-0.5] * 3)


def test_nothing_is_left_of_builds_of_a_folder_that_has_changed_since(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 2)
    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "my", Colours(patience=7))
    assert any((tmp_path / "my.unfinished").iterdir())
    (folder / "picture 0.png").unlink()
    build(folder, tmp_path / "my")
    assert not (tmp_path / "my.unfinished").exists()


# ---------------------------------------------------------------- growing


def test_only_new_and_changed_pictures_are_embedded_anew(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "my")
    again = Colours()
    same = build(folder, tmp_path / "my", again)
    assert again.seen == 0 and len(same) == 9
    for name in ("new.png", "picture 0.png", "sub/new.jpg"):
        Image.new("RGB", (33, 33), "black").save(folder / name)
    (folder / "sub" / "picture 1.jpg").unlink()
    last = Colours()
    grown = build(folder, tmp_path / "my", last)
    assert last.seen == 3
    fresh = build(folder, tmp_path / "fresh")
    for found in (grown, index.load(tmp_path / "my")):
        assert found.ids == fresh.ids and len(found) == 10
        assert np.array_equal(found.embeddings, fresh.embeddings) and np.array_equal(found.states, fresh.states)


def test_pictures_of_the_same_size_and_another_time_are_embedded_anew(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "my")
    for name in ("picture 0.png", "sub/picture 4.jpg"):
        before = (folder / name).stat()
        os.utime(folder / name, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    looked_at = (folder / "picture 3.png").stat()
    os.utime(folder / "picture 3.png", ns=(looked_at.st_atime_ns + 10**9, looked_at.st_mtime_ns))
    student = Colours()
    build(folder, tmp_path / "my", student)
    assert student.seen == 2


@pytest.mark.parametrize("other", ["student", "versions", "folder", "format", "damage", "dataset"])
def test_an_index_of_something_else_is_not_taken_over(
    folder: Path, tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build("emoji:val" if other == "dataset" else folder, tmp_path / "my")
    student = Colours()
    if other == "student":
        student.weights_hash = "d" * 64
    if other == "versions":
        edit(tmp_path, versions={"python": "2.7"})
    if other == "folder":
        folder = folder.rename(tmp_path / "elsewhere")
    if other == "format":
        edit(tmp_path, format=0)
    if other == "damage":
        os.truncate(tmp_path / "my.safetensors", 100)
    assert len(build(folder, tmp_path / "my", student)) == 9
    assert student.seen == 9


@pytest.mark.parametrize("fill", ["nothing", "rubbish"])
def test_nothing_to_index(tmp_path: Path, fill: str) -> None:
    (tmp_path / "empty").mkdir()
    if fill == "rubbish":
        (tmp_path / "empty" / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="holds no picture that can be used"):
        build(tmp_path / "empty", tmp_path / "my")
    with pytest.raises(FileNotFoundError, match="is no folder of pictures"):
        build(tmp_path / "missing", tmp_path / "my")
    with pytest.raises(FileNotFoundError, match="is no folder of pictures"):
        build("emoji:dance", tmp_path / "my")


def test_a_student_without_a_hash_is_refused(folder: Path, tmp_path: Path) -> None:
    student = Colours()
    student.weights_hash = "unsaved"
    with pytest.raises(ValueError, match="save it first"):
        build(folder, tmp_path / "my", student)


# ---------------------------------------------------------------- photos


def test_only_photos_of_the_index_are_opened(folder: Path, tmp_path: Path) -> None:
    found = build(folder, tmp_path / "my")
    for name in ("picture 99.png", "../outside.png", "notes.txt", ""):
        with pytest.raises(KeyError, match="not in this index of 9"):
            found.photo(name)
    (folder / "picture 0.png").unlink()
    with pytest.raises(ValueError, match=r"picture 0\.png: no such file"):
        found.photo("picture 0.png")
    (folder / "picture 0.png").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match=r"picture 0\.png: a link that leads out"):
        found.photo("picture 0.png")


def test_an_index_finds_its_pictures_from_anywhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    wrote = build("pictures", Path("out/my"))
    build("pictures", Path("beside"))
    before = wrote.photo("picture 0.png")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    for path in ("../out/my", "../beside", tmp_path / "beside"):
        found = index.load(path)
        assert found.source == wrote.source == str(folder)
        assert np.array_equal(found.photo("picture 0.png"), before)


def test_an_index_and_the_pictures_beside_it_can_be_moved_together(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "my")
    assert cards.read_card(tmp_path / "my.safetensors", index.KIND)["source"] == "pictures"
    (tmp_path / "moved").mkdir()
    for name in ("pictures", "my.safetensors"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    found = index.load(tmp_path / "moved" / "my")
    assert found.source == str(tmp_path / "moved" / "pictures")
    assert found.photo("picture 0.png").shape == (256, 256, 3)
    student = Colours()
    build(tmp_path / "moved" / "pictures", tmp_path / "moved" / "my", student)
    assert student.seen == 0
    # One without the other: it says which folder it looked for.
    (tmp_path / "moved" / "pictures").rename(tmp_path / "pictures")
    with pytest.raises(ValueError, match=f"^{found.source}: the folder with the pictures of this index is not there"):
        found.photo("picture 0.png")


def test_an_index_of_pictures_elsewhere_can_be_moved_alone(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "a" / "my")
    (tmp_path / "a").rename(tmp_path / "b")
    assert index.load(tmp_path / "b" / "my").photo("picture 0.png").shape == (256, 256, 3)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("below", [True, False])
def test_a_student_of_ones_own_is_found_from_anywhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: bool, moved: bool
) -> None:
    place = tmp_path / "place"
    run = (place if below else tmp_path) / "my run"
    run.mkdir(parents=True)
    (run / "student.safetensors").touch()
    monkeypatch.chdir(run.parent)
    building.build(Colours(), "my run/student.safetensors", folder, place / "my")
    monkeypatch.chdir("/")
    if moved:
        place = place.rename(tmp_path / "elsewhere")
        run = place / "my run" if below else run
    assert index.load(place / "my").student == str(run / "student.safetensors")
    named = cards.read_card(place / "my.safetensors", index.KIND)["student"]
    assert named == ("./my run/student.safetensors" if below else str(run / "student.safetensors"))


def test_shipped_students_are_named_in_an_index(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("emoji", "emoji-mobilenet_v2"):
        (tmp_path / name).touch()  # as `students.load`, which looks for a shipped name first
        building.build(Colours(), name, folder, tmp_path / "my")
        assert index.load(tmp_path / "my").student == "emoji-mobilenet_v2"


@pytest.mark.parametrize("source", ["", "\0", "\x1b]0;evil\x07", "../../../../etc", "~nobody/pictures", "/dev/null"])
def test_a_folder_that_is_none(tmp_path: Path, source: str) -> None:
    made().save(tmp_path / "my")
    edit(tmp_path, source=source)
    with pytest.raises(ValueError, match=r"not there any more|no such file") as caught:
        index.load(tmp_path / "my").photo("a.png")
    assert str(caught.value).isprintable()


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": ("a", "b", "a")}, "a name of its own"),
        ({"ids": ("a", "b")}, "embeddings are"),
        ({"ids": ()}, "an index needs pictures"),
        ({"ids": ("a", "b", "../c")}, "not a path below the folder"),
        ({"ids": ("a", "b", "/etc/c")}, "not a path below the folder"),
        ({"ids": ("a", "b", "")}, "not a path below the folder"),
        ({"ids": ("a", "b", "\x1b[31mred")}, "cannot be printed"),
        ({"ids": ("a", "b", "c" * 600)}, "longer than 512"),
        ({"embeddings": np.full((3, 4), 0.5)}, "float64"),
        ({"embeddings": np.full((3, 4), 0.6, np.float32)}, "unit vectors"),
        ({"embeddings": np.full((3, 4), np.nan, np.float32)}, "NaN or infinity"),
        ({"embeddings": np.full((3, 4), np.inf, np.float32)}, "NaN or infinity"),
        ({"embeddings": np.full((3, 4), 3e38, np.float32)}, "unit vectors"),
        ({"embeddings": np.full((3, 2, 2), 0.5, np.float32)}, "embeddings are"),
        ({"embeddings": np.float32(1.0)[None]}, "embeddings are"),
        ({"states": np.zeros((2, 2), np.int64)}, "states are"),
        ({"states": np.zeros((3, 2))}, "states are"),
        ({"kind": "web"}, "kind must be"),
        ({"kind": "dataset", "source": "../emoji:test"}, "no split of a data set"),
    ],
)
def test_what_cannot_be_an_index(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**changes)


def text(value: str) -> np.ndarray:
    return np.frombuffer(value.encode(), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(embeddings=t["embeddings"] * np.float32("nan")), "NaN or infinity"),
        (lambda t: t.update(embeddings=t["embeddings"].astype(np.float64)), "float64"),
        (lambda t: t.update(embeddings=t["embeddings"][:2]), r"embeddings are \(2, 4\)"),
        (lambda t: t.update(ids=text("a.png\nb.png")), "embeddings are"),
        (lambda t: t.update(ids=text("a.png\nb.png\n../c.png")), "not a path below"),
        (lambda t: t.update(ids=np.frombuffer(b"a\nb\n\xff", np.uint8)), "utf-8"),
        (lambda t: t.update(ids=np.zeros((3, 1), np.uint8)), "not bytes"),
        (lambda t: t.update(ids=np.zeros(3, np.int64)), "not bytes"),
        (lambda t: t.update(skipped=text("x.png\treason")), "does not hold what"),
        (lambda t: t.pop("ids"), "not embeddings, ids, skipped, states"),
        (lambda t: t.update(states=np.zeros((3, 1), np.int64)), "states are"),
        (lambda t: t.update(states=np.zeros((3, 2), np.float64)), "states are"),
        (lambda t: t.update(more=np.zeros(1)), "not embeddings, ids, skipped"),
    ],
)
def test_damaged_embeddings(tmp_path: Path, change: Callable[[Tensors], Any], message: str) -> None:
    weights = made().save(tmp_path / "my")
    edit(tmp_path, change)
    with pytest.raises(ValueError, match=message) as caught:
        index.load(tmp_path / "my")
    assert str(weights) in str(caught.value)


def edit(folder: Path, of_tensors: Callable[[Tensors], Any] = lambda tensors: None, **of_card: object) -> None:
    """Change tensors or card of an index; its SHA-256 is right, so that the later checks are reached."""
    path = folder / "my.safetensors"
    card, tensors = cards.read(path, index.KIND, lambda card: 1 << 20, "numpy")
    tensors = dict(tensors)
    of_tensors(tensors)
    cards.write(path, tensors, {**card, **of_card}, index.KIND)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 4}, "no index in format 1"),
        ({"format": 1.0}, "no index in format 1"),
        ({"student": ["emoji"]}, "'student' must be a text"),
        ({"pictures": "web"}, "kind must be"),
        ({"photos": 10**9}, "'photos' must be a whole number from 1 to 1,000,000"),
        ({"photos": True}, "'photos' must be"),
        ({"photos": 2}, "does not hold what"),
        ({"dim": 0}, "'dim' must be"),
        ({"dim": 5}, "does not hold what"),
        ({"skipped": "many"}, "'skipped' must be"),
    ],
)
def test_damaged_cards(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    made().save(tmp_path / "my")
    edit(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        index.load(tmp_path / "my")
    assert str(tmp_path / "my.") in str(caught.value)


def test_a_file_larger_than_its_card_says_is_not_read(tmp_path: Path) -> None:
    weights = made().save(tmp_path / "my")
    os.truncate(weights, 8 << 30)
    with pytest.raises(ValueError, match="is larger than"):
        index.load(tmp_path / "my")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no index .*my\.safetensors .*shipped: emoji"):
        index.load(tmp_path / "my")


# ---------------------------------------------------------------- the one that comes with the package


def test_one_shipped_index_holds_every_emoji_and_one_the_test_gallery() -> None:
    from sketchcanvas_env import load_dataset, load_table

    assert index.shipped() == ("emoji", "emoji-test")
    dataset, everything, shipped = load_dataset("emoji"), index.load(), index.load("emoji-test")
    assert sorted(everything.ids) == sorted(set(dataset.photo_ids.tolist()))
    assert shipped.ids == tuple(dataset.gallery("test").tolist())
    assert shipped.student_hash == everything.student_hash == load_table("emoji").student_hash
    assert repr(shipped) == f"<PhotoIndex of dataset {shipped.source}: 350 pictures embedded by {shipped.student}>"
    # Neither the student nor a selector was trained on the test gallery.
    before = {photo for split in ("student", "train", "val") for photo in dataset.photo_ids[dataset.split == split]}
    assert not before & set(shipped.ids)


@pytest.mark.parametrize(("name", "rounding"), [("emoji", 1e-4), ("emoji-test", 1e-5)])
def test_the_shipped_indexes_follow_from_photos_and_weights(name: str, rounding: float) -> None:
    shipped = index.load(name)
    student = students.load(shipped.student)
    assert student.weights_hash == shipped.student_hash
    sample = np.random.default_rng(3).choice(len(shipped), 8, replace=False)
    images = np.stack([shipped.photo(shipped.ids[place]) for place in sample])
    assert student.embed_photos(images) == pytest.approx(shipped.embeddings[sample], abs=rounding)


def test_half_the_bytes_hold_nearly_the_same_embeddings(folder: Path, tmp_path: Path) -> None:
    whole = building.build(Colours(), "colours", folder, tmp_path / "whole")
    whole.save(tmp_path / "half", half=True)
    half = index.load(tmp_path / "half")
    assert half.ids == whole.ids
    assert half.embeddings.dtype == np.float32
    np.testing.assert_array_equal(half.embeddings, whole.embeddings.astype(np.float16))


def test_the_command_that_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    monkeypatch.setattr(students, "load", lambda name: Colours())
    monkeypatch.setattr(sys, "argv", ["index", "emoji:val", str(tmp_path / "val")])
    monkeypatch.delitem(sys.modules, "students.search.index")
    runpy.run_module("students.search.index", run_name="__main__")
    made_by_it = index.load(tmp_path / "val")
    assert (made_by_it.kind, made_by_it.source, made_by_it.student) == ("dataset", "emoji:val", "emoji-mobilenet_v2")
    assert len(made_by_it) == 350


@pytest.mark.parametrize("parallel", [False, True])
def test_an_index_does_not_depend_on_the_threads(folder: Path, tmp_path: Path, parallel: bool) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    student = Colours()
    student.parallel = parallel  # type: ignore[attr-defined]
    whole = build(folder, tmp_path / "whole")
    found = building.build(student, "colours", folder, tmp_path / "my", threads=3)
    assert (found.ids, found.skipped) == (whole.ids, whole.skipped) and found.skipped
    assert np.array_equal(found.embeddings, whole.embeddings)


def test_reading_an_index_needs_no_torch() -> None:
    code = "import sys; from students.search import index; index.load(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(students.__file__).parents[1])
