"""Search photos with a drawing, then index pictures of your own and search those.

python examples/search.py
"""

import tempfile
from pathlib import Path

from PIL import Image

import students
from agents.search.pipeline import Pipeline
from sketchcanvas_env import load_dataset, read_svg
from students.search.building import build

# The shipped index: the photos of the emoji test split.
drawing = b"""<svg xmlns="http://www.w3.org/2000/svg" fill="none" stroke="black"><circle cx="9" cy="9" r="8"/>
<circle cx="6" cy="7" r="1"/><circle cx="12" cy="7" r="1"/><path d="M5 12q4 4 8 0"/></svg>"""
pipeline = Pipeline.load()
answer = pipeline.search(read_svg(drawing), top=3)
print("a smile ->", ", ".join(f"{hit.photo} ({hit.distance:.2f})" for hit in answer.hits))
print(f"{answer.canvas} px, {answer.gflops:.4f} GFLOPs; always {answer.fixed_canvas} px: {answer.fixed_gflops:.4f}")
for tradeoff in (0.02, 0.2, 1.0):
    print(f"tradeoff {tradeoff} -> {pipeline.search(read_svg(drawing), tradeoff=tradeoff).canvas} px")

# Pictures of your own; on the command line: sketchcanvas index DIR --out my.index
dataset = load_dataset("emoji")
rows = dataset.indices("val")[:80:4]  # one drawing of each of 20 photos
with tempfile.TemporaryDirectory() as folder:
    for photo in dataset.photo_ids[rows].tolist():
        Image.fromarray(dataset.photo(photo)).save(Path(folder) / f"{photo}.png")
    build(students.load("emoji"), "emoji", folder, Path(folder) / "my.index")
    mine = Pipeline.load(Path(folder) / "my.index", selector="fixed:64")
answers = mine.search_many([dataset.sketch(int(row)) for row in rows], top=1)
for row, found in zip(rows[:4], answers, strict=False):
    print(f"a drawing of {dataset.photo_ids[row]} -> {found.hits[0].photo}")
