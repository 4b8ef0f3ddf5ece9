"""Train a selector with REINFORCE for a moment, save it, load it, and let it choose canvases for drawings.

python examples/train_and_use.py
"""

import tempfile
from pathlib import Path

import agents
from agents import EnvConfig
from sketchcanvas_env import load_dataset, read_svg

env = EnvConfig(tradeoff=0.2)
run = agents.train_run(agents.make_config("reinforce", env=env, total_steps=20_480))
with tempfile.TemporaryDirectory() as folder:
    agents.save(Path(folder) / "mine", run, env.outcomes("train"))
    selector = agents.load(Path(folder) / "mine")

dataset = load_dataset(env.dataset)
for row in dataset.indices("val")[:4]:
    sketch = dataset.sketch(int(row))
    print(dataset.sketch_ids[row], f"{sketch.n_strokes} strokes ->", selector(sketch), "px")

drawing = b'<svg xmlns="http://www.w3.org/2000/svg"><circle cx="9" cy="9" r="8"/><path d="M5 12q4 4 8 0"/></svg>'
print("a smile ->", selector(read_svg(drawing)), "px")
