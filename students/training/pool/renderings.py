r"""More training pairs for `emoji`: other artists' renderings of its split `student`, and further identities.

    npm pack openmoji@17.0.0 @iconify-json/noto@1.2.9 \
        @iconify-json/twemoji@1.2.5 @iconify-json/noto-v1@1.2.5 \
        @iconify-json/emojione@1.2.3 @iconify-json/fluent-emoji-flat@1.2.6 \
        @iconify-json/streamline-emojis@1.2.4 lucide-static@1.62.0 \
        @tabler/icons@3.52.0 @iconify-json/icon-park@1.2.4 \
        @iconify-json/icon-park-outline@1.2.4 \
        @iconify-json/streamline-ultimate@1.2.2 \
        @iconify-json/streamline-ultimate-color@1.2.2
    python -m students.training.pool.renderings --archives . --out runs/renderings.npz

Line icons of two sets become further sketches of the photos of the same name. Two sets that have each icon both as a
line drawing and in colour add identities.

Nothing of the splits `train`, `val` and `test` comes in: none of their identities, no drawing that looks like one of
theirs, no icon whose name shares a word with one of theirs. The pictures are for training and are not shipped.
Licences: OpenMoji CC BY-SA 4.0; Noto Emoji (both versions) and IconPark Apache 2.0; Twemoji, Emoji One and Streamline
CC BY 4.0; Fluent Emoji and Tabler MIT; Lucide ISC.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from sketchcanvas_env.data import SPLITS, SketchDataset, load
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.npz import read_npz, write_npz
from sketchcanvas_env.svg.reader import SvgError, read_svg

OPENMOJI = "openmoji-17.0.0.tgz"
ICONIFY = tuple(
    f"iconify-json-{name}.tgz"
    for name in (
        "noto-1.2.9",
        "twemoji-1.2.5",
        "noto-v1-1.2.5",
        "emojione-1.2.3",
        "fluent-emoji-flat-1.2.6",
        "streamline-emojis-1.2.4",
    )
)
"""Iconify's archives. The first lists code points by icon name, which also serves those without a list."""
LINE_ICONS = {"lucide-static-1.62.0.tgz": "package/icons/", "tabler-icons-3.52.0.tgz": "package/icons/outline/"}
"""Archives of line icons, each with the folder that holds them."""
DRAWN_AND_COLOURED = (
    ("iconify-json-icon-park-outline-1.2.4.tgz", "iconify-json-icon-park-1.2.4.tgz"),
    ("iconify-json-streamline-ultimate-1.2.2.tgz", "iconify-json-streamline-ultimate-color-1.2.2.tgz"),
)
"""Pairs of Iconify's archives with the same icons, as line drawings and in colour."""
SIDE = 144
"""Side of a rendered photo, pixels."""
MAX_PHOTOS = 20_000
"""Photos that are read from a file, at most: 1.2 GB in memory."""
MAX_DRAWINGS = 20_000
"""Drawings that are read from a file, at most."""
MAX_ROWS = 2_000_000
"""Rows of all drawings together that are read from a file, at most."""
ALIKE = 0.98
"""Cosine similarity of ink at 64 px above which two drawings count as equal (as in `tests.tools.build_emoji`)."""


@dataclass(frozen=True, eq=False)
class Renderings:
    """Further photos and sketches for training, and identities outside the data set.

    Attributes:
        photos: (M, S, S, 3) uint8.
        photo_names: (M,) str, identity of each photo.
        sketch_names: (N,) str, identities outside the data set.
        sketches: drawing of each of `sketch_names`.
        icon_names: (K,) str, identity in the data set of each icon.
        icons: drawing of each of `icon_names`.
    """

    photos: NDArray[np.uint8]
    photo_names: NDArray[np.str_]
    sketch_names: NDArray[np.str_]
    sketches: tuple[VectorSketch, ...]
    icon_names: NDArray[np.str_]
    icons: tuple[VectorSketch, ...]


_KINDS = {"photos": "u", "photo_names": "U", "sketch_names": "U", "icon_names": "U", "stroke5": "f", "ends": "i"}


def read(path: str | Path) -> Renderings:
    """Read a file written by `build`; sizes are checked before anything is unpacked.

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        ValueError: a file of another kind, or one that is too large; the message names the limit.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no renderings at {path}: make them with 'python -m students.training.pool.renderings' (see --help)"
        )
    try:
        arrays = read_npz(path, _KINDS, most=2 * MAX_PHOTOS * SIDE * SIDE * 3, check=_check_shapes)
        ends = arrays["ends"]
        if (np.diff(ends, prepend=0) <= 0).any() or (len(ends) and ends[-1] != len(arrays["stroke5"])):
            raise ValueError("ends must rise, and the last one be the number of rows")
        sketches = tuple(VectorSketch.from_stroke5(rows) for rows in np.split(arrays["stroke5"], ends[:-1]))
    except Exception as error:  # NumPy and zipfile raise many kinds for a damaged file
        raise ValueError(f"{path} holds no renderings: {str(error)[:300] or type(error).__name__}") from None
    outside = len(arrays["sketch_names"])
    return Renderings(
        photos=arrays["photos"],
        photo_names=arrays["photo_names"],
        sketch_names=arrays["sketch_names"],
        sketches=sketches[:outside],
        icon_names=arrays["icon_names"],
        icons=sketches[outside:],
    )


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless arrays of these shapes agree and are within the limits."""
    photos, drawings = shapes["photos"][:1], shapes["ends"]
    names = [shapes[name] for name in ("photo_names", "sketch_names", "icon_names")]
    if any(len(shape) != 1 for shape in (*names, drawings)) or shapes["photos"] != (*names[0], SIDE, SIDE, 3):
        raise ValueError(f"photos must be {SIDE} x {SIDE} pixels, one for each photo's name")
    if drawings[0] != names[1][0] + names[2][0] or shapes["stroke5"][1:] != (5,):
        raise ValueError("drawings must be in stroke-5 format, one for each sketch's and icon's name")
    for what, number, most in (
        ("photos", photos[0], MAX_PHOTOS),
        ("drawings", drawings[0], MAX_DRAWINGS),
        ("rows of drawings", shapes["stroke5"][0], MAX_ROWS),
    ):
        if number > most:
            raise ValueError(f"{number:,} {what}; at most {most:,} are read")


def build(archives: Path, out: Path, dataset: SketchDataset, progress: bool = False) -> Renderings:
    """Render the published sets, write them to `out` and return them.

    Args:
        archives: folder with the npm archives.
        out: the .npz file to write.
        dataset: `emoji`; identities of its splits other than `student` are excluded.
        progress: show a progress bar on standard error.

    Raises:
        FileNotFoundError: an archive is missing; the message says how to get it.
    """
    from rich.console import Console
    from rich.progress import track

    needed = (OPENMOJI, *ICONIFY, *LINE_ICONS, *(name for pair in DRAWN_AND_COLOURED for name in pair))
    missing = [name for name in needed if not (archives / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{archives} lacks {missing}: get them with the 'npm pack' command that "
            "'python -m students.training.pool.renderings --help' shows"
        )
    openmoji = _members(archives / OPENMOJI)
    in_dataset = {str(photo) for photo in dataset.photo_ids}
    held_out = {str(photo) for photo in dataset.photo_ids[dataset.split != SPLITS[0]]}
    entries = [e for e in json.loads(openmoji["package/data/openmoji.json"]) if not e["skintone"]]
    title_of = {e["hexcode"]: e["annotation"] for e in entries}
    names = [name for name in title_of if name not in held_out]

    outside = {
        name: sketch for name in names if name not in in_dataset and (sketch := _black(openmoji, name)) is not None
    }
    words = {word for name, title in title_of.items() if name in held_out for word in _hyphenated(title).split("-")}
    coloured: dict[str, bytes] = {}
    for lines, fills in DRAWN_AND_COLOURED:
        found = _line_and_colour(archives / lines, archives / fills, words)
        outside |= {name: sketch for name, (sketch, _) in found.items()}
        coloured |= {name: svg for name, (_, svg) in found.items()}
    outside = _unlike_held_out(outside, dataset)
    wanted = [name for name in names if name in in_dataset or name in outside]

    sets = [{name: openmoji[f"package/color/svg/{name}.svg"] for name in wanted}]
    packages = [_members(archives / archive) for archive in ICONIFY]
    listed: dict[str, str] = json.loads(packages[0]["package/chars.json"])
    sets += [_icons(members, listed) for members in packages]
    jobs = [(name, svgs[key]) for svgs in sets for name in wanted if (key := _key(name, svgs)) is not None]
    jobs += [(name, svg) for name, svg in coloured.items() if name in outside]
    bar = track(jobs, "rendering", console=Console(stderr=True), disable=not progress)
    drawn = [(name, photo) for name, svg in bar if (photo := _render(svg)) is not None]
    shown = {name for name, _ in drawn}
    outside = {name: sketch for name, sketch in outside.items() if name in shown}
    titles = {name: title for name, title in title_of.items() if name in in_dataset - held_out}
    icons = [pair for name, folder in LINE_ICONS.items() for pair in _line_icons(archives / name, folder, titles)]
    rows = [sketch.to_stroke5(sketch.n_points + 1) for sketch in [*outside.values(), *(icon for _, icon in icons)]]
    arrays = {
        "photos": np.stack([photo for _, photo in drawn]),
        "photo_names": np.array([name for name, _ in drawn]),
        "sketch_names": np.array(list(outside), dtype=np.str_),
        "icon_names": np.array([name for name, _ in icons], dtype=np.str_),
        "stroke5": np.concatenate(rows),
        "ends": np.cumsum([len(r) for r in rows]),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_npz(out, arrays)
    return read(out)


def _black(openmoji: Mapping[str, bytes], name: str) -> VectorSketch | None:
    """OpenMoji's line drawing of an identity; None where it uses features that the strict reader refuses."""
    try:
        return read_svg(openmoji[f"package/black/svg/{name}.svg"]).simplified(0.002)
    except SvgError:
        return None


def _line_icons(archive: Path, folder: str, titles: Mapping[str, str]) -> list[tuple[str, VectorSketch]]:
    """(identity, drawing) of each icon in an archive whose file name is the title of an identity.

    Args:
        archive: an npm archive.
        folder: its folder of icons, NAME.svg.
        titles: title of each identity, such as "alarm clock"; the icon "alarm-clock-2" is a further drawing of it.
    """
    identity_of = {_hyphenated(title): identity for identity, title in titles.items()}
    found = []
    for path, svg in sorted(_members(archive).items()):
        icon = path.removeprefix(folder).removesuffix(".svg")
        if path != f"{folder}{icon}.svg" or (identity := identity_of.get(re.sub(r"-\d$", "", icon))) is None:
            continue
        try:
            found.append((identity, VectorSketch.fit(read_svg(svg).simplified(0.002).strokes)))
        except SvgError:
            continue  # a few use features that the strict reader refuses
    return found


def _line_and_colour(
    drawn: Path, colour: Path, excluded_words: Collection[str]
) -> dict[str, tuple[VectorSketch, bytes]]:
    """(drawing, coloured SVG) by name of the icons in both archives, except names with a word in `excluded_words`."""
    lines, fills = _named_icons(_members(drawn)), _named_icons(_members(colour))
    prefix = colour.name.removeprefix("iconify-json-").rsplit("-", 1)[0]
    found = {}
    for name in sorted(lines.keys() & fills.keys()):
        words = set(name.split("-"))
        if "logo" in words or words & set(excluded_words):
            continue
        try:
            sketch = VectorSketch.fit(read_svg(lines[name]).simplified(0.002).strokes)
        except SvgError:
            continue  # a few use features that the strict reader refuses
        found[f"{prefix}:{name}"] = (sketch, fills[name])
    return found


def _named_icons(members: dict[str, bytes]) -> dict[str, bytes]:
    """SVGs of an Iconify package by name."""
    data: dict[str, Any] = json.loads(members["package/icons.json"])
    width, height = data.get("width", 16), data.get("height", 16)
    svgs = {}
    for name, icon in data["icons"].items():
        box = f"0 0 {icon.get('width', width)} {icon.get('height', height)}"
        body = icon["body"].replace("currentColor", "#000")
        svgs[name] = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'.encode()
    return svgs


def _hyphenated(text: str) -> str:
    """Lower-case words joined by hyphens, without a last "face" or "button": "Cat face" -> "cat"."""
    return re.sub(r"-(face|button)$", "", re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-"))


def _unlike_held_out(drawings: dict[str, VectorSketch], dataset: SketchDataset) -> dict[str, VectorSketch]:
    """The drawings that look like none in the data set's splits other than `student` (see `ALIKE`)."""
    held_out = np.flatnonzero((dataset.split != SPLITS[0]) & (dataset.level == 0))
    held_out_ink = _unit_ink([dataset.sketch(int(row)) for row in held_out])
    ink = _unit_ink(list(drawings.values()))
    nearest = (ink @ held_out_ink.T).max(axis=1)
    return {name: d for (name, d), cosine in zip(drawings.items(), nearest, strict=True) if cosine <= ALIKE}


def _unit_ink(sketches: list[VectorSketch]) -> NDArray[np.float64]:
    """Ink of the sketches at 64 px as unit vectors (n, 4096)."""
    ink = 255.0 - rasterise_batch(sketches, 64).reshape(len(sketches), -1)
    return np.asarray(ink / np.linalg.norm(ink, axis=1, keepdims=True))


def _members(archive: Path) -> dict[str, bytes]:
    """Files of an npm archive by path."""
    with tarfile.open(archive) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return {name: stream.read() for name, stream in files if stream is not None}


def _icons(members: dict[str, bytes], listed: dict[str, str]) -> dict[str, bytes]:
    """SVGs of an Iconify package by code points (lower case, without variation selectors).

    A package with an empty list of code points uses `listed` (code points -> name).
    """
    icons = _named_icons(members)
    chars: dict[str, str] = json.loads(members["package/chars.json"]) or listed
    return {code.lower(): icons[name] for code, name in chars.items() if name in icons}


def _key(name: str, svgs: dict[str, bytes]) -> str | None:
    """The key of the code points `name` in a set; None where the set lacks them."""
    parts = name.lower().split("-")
    bare = "-".join(part for part in parts if part != "fe0f")
    return next((key for key in (name, name.lower(), bare) if key in svgs), None)


def _render(svg: bytes) -> NDArray[np.uint8] | None:
    """An SVG drawn on white, (SIDE, SIDE, 3) uint8; None where CairoSVG cannot draw it."""
    import cairosvg
    from PIL import Image

    try:
        png = cairosvg.svg2png(bytestring=svg, output_width=SIDE, output_height=SIDE, background_color="white")
    except AttributeError:  # CairoSVG's error for a dangling reference
        return None
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def main(
    archives: Annotated[Path, typer.Option(help="Folder with the npm archives.")],
    out: Annotated[Path, typer.Option(help="The .npz file to write.")] = Path("runs/renderings.npz"),
) -> None:
    """Render other artists' emoji as further training photos."""
    made = build(archives, out, load("emoji"), progress=True)
    typer.echo(
        f"{out}: {len(made.photos)} photos, {len(made.sketches)} drawings outside the data set, {len(made.icons)} icons"
    )


if __name__ == "__main__":
    main.__doc__ = __doc__
    typer.run(main)
