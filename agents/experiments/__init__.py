"""Experiments: many runs of many algorithms, comparisons and trade-off sweeps.

Imports `store` and the rooms below.
"""
