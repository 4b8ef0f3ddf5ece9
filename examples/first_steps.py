"""Make the environment, look at one sketch, choose a canvas at random, and save the picture of what came of it.

python examples/first_steps.py
"""

import gymnasium as gym
from PIL import Image

import sketchcanvas_env  # registers the environment

env = gym.make("SketchCanvas-v0", split="train", tradeoff=0.2, render_mode="rgb_array")
observation, info = env.reset(seed=1)
print("points:", observation["points"].reshape(-1, 5)[:3], "...")
for name, value in zip(sketchcanvas_env.FEATURE_NAMES, observation["stats"], strict=True):
    print(f"{name:>24} {value:.2f}")

action = env.action_space.sample()
_, reward, terminated, _, info = env.step(action)
assert terminated  # an episode is one choice
print(f"canvas {info['canvas']}: rank {info['rank']}, {info['flops'] / 1e9:.3f} GFLOPs, reward {reward:.3f}")
print(f"the oracle's reward is {info['regret']:.3f} higher")
Image.fromarray(env.render()).save("first_steps.png")
