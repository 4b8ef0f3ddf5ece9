"""Exact evaluation: the setting, baselines, scores over a whole split, statistics.

Imports `selectors`.
"""
