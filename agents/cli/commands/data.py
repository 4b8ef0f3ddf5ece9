"""`data`: look at a data set, check a folder, write a data set as a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.output import show, tell
from agents.cli.shared_options import DATASET_HELP, AsJson, Format, KeepPlace, Root, Strict, load_data

_PAGE = 32
"""Photos on one page of a contact sheet: 16 rows, two abreast."""

app = typer.Typer(
    help="Look at a data set, check a folder of your own, or write one.",
    no_args_is_help=True,
)


@app.command("info")
def data_info(
    dataset: Annotated[str, typer.Argument(help=DATASET_HELP)] = "emoji",
    root: Root = None,
    strict: Strict = False,
    form: Format = None,
    keep_place: KeepPlace = False,
    as_json: AsJson = False,
) -> None:
    """Show counts by split, the hash, notes and licences of a data set.

    Example: sketchcanvas data info
    """
    import numpy as np

    from agents.reports import tables as report
    from sketchcanvas_env.data import SPLITS

    loaded = load_data(dataset, root, strict, form, keep_place)
    counts = {}
    for split in SPLITS:
        rows = loaded.indices(split)
        if not len(rows):
            continue  # a data set need not have all four
        points = [loaded.sketch(int(row)).n_points for row in rows]
        counts[split] = {
            "photos": len(np.unique(loaded.photo_ids[rows])),
            "gallery": len(loaded.gallery(split)),
            "sketches": len(rows),
            "median points": float(np.median(points)),
            "p95 points": float(np.percentile(points, 95)),
        }
    columns = ("split", *next(iter(counts.values())))
    cells = [(split, *(f"{value:g}" for value in row.values())) for split, row in counts.items()]
    show(
        as_json,
        {
            "name": loaded.name,
            "hash": loaded.hash,
            "splits": counts,
            "licence": loaded.licence,
            "citation": loaded.citation,
            "known gallery": loaded.known_gallery,
            "conditions": {} if loaded.conditions is None else dict(Counter(loaded.conditions.tolist())),
            "notes": list(loaded.notes),
            "skipped": [list(one) for one in loaded.skipped],
        },
        report.Table(f"{loaded.name} ({loaded.hash[:12]})", columns, tuple(cells)),
    )
    if not as_json:
        if loaded.known_gallery:
            print("known gallery: train, val and test share their photos and are split by drawing")
        if loaded.conditions is not None:
            named = sorted(Counter(loaded.conditions.tolist()).items())
            print("conditions:", ", ".join(f"{name or 'none'} {count}" for name, count in named))
        print("\n".join(text for text in (*loaded.notes, loaded.licence, loaded.citation) if text))


@app.command("show")
def data_show(
    dataset: Annotated[str, typer.Argument(help=DATASET_HELP)] = "emoji",
    root: Root = None,
    split: Annotated[
        str | None,
        typer.Option(help="Which split: train, val, test or student; default: the first of these with sketches."),
    ] = None,
    photos: Annotated[int, typer.Option(help=f"How many photos; {_PAGE} on a page.", min=1, max=200)] = 16,
    seed: Annotated[int, typer.Option(help="Seed that chooses the photos.")] = 0,
    out: Annotated[Path, typer.Option(help="The PNG file; of several pages, NAME-1.png, NAME-2.png and so on.")] = Path(
        "runs/contact-sheet.png"
    ),
) -> None:
    """Draw photos with their sketches into a PNG file.

    Prints the photos' names, row by row.

    Example: sketchcanvas data show --split val --out sheet.png
    """
    from agents.reports import plots
    from sketchcanvas_env.data import SPLITS

    loaded = load_data(dataset, root)
    if split is None:
        split = next((one for one in (*SPLITS[1:], SPLITS[0]) if len(loaded.indices(one))), SPLITS[1])
    chosen = plots.some_photos(loaded, split, photos, seed)
    pages = [chosen[start : start + _PAGE] for start in range(0, len(chosen), _PAGE)]
    for number, page in enumerate(pages, start=1):
        file = out if len(pages) == 1 else out.with_stem(f"{out.stem}-{number}")
        plots.contact_sheet(loaded, split, page, file)
        for photo in page:
            print(photo)
        tell(f"wrote {file}: {len(page)} photos of split {split}")


@app.command("check")
def data_check(
    folder: Annotated[Path, typer.Argument(help="Folder with photos/ and sketches/.")],
    form: Format = None,
    keep_place: KeepPlace = False,
    as_json: AsJson = False,
) -> None:
    """Read every file of a folder and report what is wrong.

    The exit code is 2 if anything is.

    Example: sketchcanvas data check my-sketches
    """
    from agents.reports import tables as report
    from sketchcanvas_env.data import SPLITS, what_lacks
    from sketchcanvas_env.data.dataset import grouped
    from sketchcanvas_env.data.formats.folder import check_folder

    loaded, wrong = check_folder(folder, form, keep_place)
    counts = (
        {}
        if loaded is None
        else {split: {"photos": len(loaded.gallery(split)), "sketches": len(loaded.indices(split))} for split in SPLITS}
    )
    cells = [(split, str(row["photos"]), str(row["sketches"])) for split, row in counts.items()]
    if not as_json:
        for line in grouped(wrong, groups=1_000):
            print(line)
    show(
        as_json,
        {"splits": counts, "wrong": [list(one) for one in wrong]},
        report.Table("can be used", ("split", "photos", "sketches"), tuple(cells)),
    )
    for note in loaded.notes if loaded is not None else ():
        tell(note)
    if wrong:
        raise ValueError(f"{folder}: {len(wrong):,} problems; --json lists all")
    tell(f"{folder} is in order")
    for split, row in counts.items():
        if not row["sketches"] and (lacking := what_lacks("folder", split)):
            tell(lacking)


@app.command("import")
def data_import(
    dataset: Annotated[str, typer.Argument(help="Name of the data set; an unknown one lists them all.")],
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="[ROOT] FOLDER", help="Its folder, if it does not come with the package; then the folder to write."
        ),
    ],
    strict: Strict = False,
    form: Format = None,
    keep_place: KeepPlace = False,
) -> None:
    """Write a data set as a folder of photos and sketches.

    The folder can be edited and used as 'folder:DIR'; it needs neither --format nor --keep-place. The same command
    continues an interrupted one.

    Example: sketchcanvas data import chairv2 ~/ChairV2 chairs
    """
    import shlex

    from agents.cli.progress import bars
    from sketchcanvas_env.data.formats.folder_writer import write_folder

    if len(places) > 2:
        raise ValueError(f"name the data set's folder and the one to write, not {len(places)} folders")
    loaded = load_data(dataset, places[0] if len(places) == 2 else None, strict, form, keep_place)
    files = len({photo for gallery in loaded.galleries.values() for photo in gallery.tolist()}) + len(loaded)
    done = 0
    with bars() as start:
        advance = start(f"writing {places[-1]}", files)

        def on_file() -> None:
            nonlocal done
            done += 1
            advance(done)

        lost = write_folder(loaded, places[-1], on_file)
    for sentence in lost:
        tell(f"not kept: {sentence}")
    named = shlex.join(["--dataset", f"folder:{places[-1]}"])
    tell(f"wrote {len(loaded)} sketches to {places[-1]}, which is named by\n{named}")
