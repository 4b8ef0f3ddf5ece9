"""Outcome tables: reward and rank rules, and stored results of a frozen student, one row per sketch.

Imports `data`, `sketches` and `storage`. Tasks and environments read tables; `students` writes them.
"""
