"""Experiments: many runs of many algorithms, comparisons, trade-off sweeps, pooled results.

Imports `store` and the rooms below.
"""
