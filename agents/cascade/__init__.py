"""Agents for `SketchCanvasCascade-v0`, in which a sketch may be looked at several times.

What differs from one-step episodes is here: how a selector walks through a sketch's looks (`walk`), the algorithms that
know of episodes with several steps (`reinforce`, `backward`, `sb3`), and the rules that need no training (`margin`).
"""
