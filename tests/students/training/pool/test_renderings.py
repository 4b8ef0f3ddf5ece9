"""Further training pairs: nothing of a held-out identity comes in, whatever is in the archives."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sketchcanvas_env.data import load
from students.training.pool import renderings

BLACK = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72">{}</svg>'
OUTSIDE = '<path fill="none" stroke="#000" d="M10 10 L60 20 L15 50 L50 65"/>'


def pack(path: Path, members: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


def archives(folder: Path, names: list[str], black: dict[str, str]) -> None:
    """Archives in which every name has a picture in every set: red, green, blue."""
    entries = [{"hexcode": name, "skintone": "", "annotation": f"Thing {name}"} for name in names]
    members = {"package/data/openmoji.json": json.dumps(entries)}
    square = '<rect x="8" y="8" width="56" height="56" fill="{}"/>'
    for name in names:
        members[f"package/color/svg/{name}.svg"] = BLACK.format(square.format("red"))
        members[f"package/black/svg/{name}.svg"] = BLACK.format(black.get(name, OUTSIDE))
    pack(folder / renderings.OPENMOJI, members)
    for k, archive in enumerate(renderings.ICONIFY):
        colour = ("lime", "blue")[k % 2]
        icons = {f"icon-{name}": {"body": square.format(colour)} for name in names}
        chars = {name.lower(): f"icon-{name}" for name in names}
        data = {"icons": icons, "width": 72, "height": 72}
        listed = chars if k < 2 else {}  # the others have the first one's names
        pack(folder / archive, {"package/icons.json": json.dumps(data), "package/chars.json": json.dumps(listed)})

    line = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g fill="none" stroke="#000">{}</g></svg>'
    for archive, inside in renderings.LINE_ICONS.items():
        titles = [f"thing-{name.lower()}{end}" for name in names for end in ("", "-2", "-off")]
        icons = {f"{inside}{title}.svg": line.format('<path d="M2 2 L20 20"/>') for title in titles}
        pack(folder / archive, icons | {"package/LICENSE": "anything"})
    # Beside icons to use: a logo, one that is drawn only, and whatever `black` has under other names.
    more = {title: body for title, body in black.items() if title not in names}
    for lines, colours in renderings.DRAWN_AND_COLOURED:
        drawn = {"axle": OUTSIDE, "axle-logo": OUTSIDE, "alone": OUTSIDE, **more}
        filled = {title: square.format("yellow") for title in drawn if title != "alone"}
        for archive, bodies in ((lines, drawn), (colours, filled)):
            data = {"icons": {title: {"body": body} for title, body in bodies.items()}, "width": 72, "height": 72}
            pack(folder / archive, {"package/icons.json": json.dumps(data)})


def svg_path(row: int) -> str:
    strokes = load("emoji").sketch(row).strokes
    lines = ("M" + " L".join(f"{x * 72:.3f} {y * 72:.3f}" for x, y in stroke) for stroke in strokes)
    return f'<path fill="none" stroke="#000" d="{" ".join(lines)}"/>'


def test_held_out_identities_and_drawings_like_theirs_stay_out(tmp_path: Path) -> None:
    dataset = load("emoji")
    clean = {
        split: dataset.indices(split)[dataset.level[dataset.indices(split)] == 0][0] for split in ("student", "test")
    }
    trained, held_out = (str(dataset.photo_ids[clean[split]]) for split in ("student", "test"))
    # F0001 is drawn as a test identity is, under another name
    drawings = {"F0001": svg_path(int(clean["test"])), "alike": svg_path(int(clean["test"]))}
    # the icon's name shares a word with the test identity's
    drawings[f"big-{held_out.lower()}"] = OUTSIDE
    archives(tmp_path, [trained, held_out, "F0000", "F0001"], drawings)
    made = renderings.build(tmp_path, tmp_path / "out.npz", dataset)
    in_both_sets = ["icon-park:axle", "streamline-ultimate-color:axle"]
    assert set(made.photo_names.tolist()) == {trained, "F0000", *in_both_sets}
    assert made.sketch_names.tolist() == ["F0000", *in_both_sets]
    assert len(made.sketches) == 3
    count = 2 * (1 + len(renderings.ICONIFY)) + 2
    assert made.photos.shape == (count, renderings.SIDE, renderings.SIDE, 3)
    # two sets, and a second drawing in each; "-off" is another thing, and so is what F0000 shows
    assert made.icon_names.tolist() == [trained] * 4 and len(made.icons) == 4
    middles = made.photos[:, renderings.SIDE // 2, renderings.SIDE // 2]
    np.testing.assert_array_equal(np.unique(middles, axis=0), [[0, 0, 255], [0, 255, 0], [255, 0, 0], [255, 255, 0]])
    again = renderings.read(tmp_path / "out.npz")
    np.testing.assert_array_equal(again.photos, made.photos)


def test_missing_archives_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="npm pack"):
        renderings.build(tmp_path, tmp_path / "out.npz", load("emoji"))


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"python -m students\.training\.pool\.renderings"):
        renderings.read(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz holds no renderings"):
        renderings.read(tmp_path / "other.npz")
