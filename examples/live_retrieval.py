"""Live mode: no outcome table, the student embeds the sketch on the canvas that was chosen.

python examples/live_retrieval.py
"""

import students
from sketchcanvas_env import SketchCanvasEnv, load_dataset
from students.tables.retriever import StudentRetriever

student, dataset = students.load("emoji"), load_dataset("emoji")
env = SketchCanvasEnv(split="val", retriever=StudentRetriever.of(student, dataset, "val"), render_mode="ansi")
for action in range(env.action_space.n):
    env.reset(seed=0, options={"index": 3})
    env.step(action)
    print(env.render())
