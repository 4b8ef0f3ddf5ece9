"""Stable-Baselines3 and sb3-contrib on the vector environments: adapter, settings, algorithms."""
