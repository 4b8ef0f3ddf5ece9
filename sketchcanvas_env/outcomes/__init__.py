"""Outcome tables: ranks and rewards, and the stored results of a frozen student, one row per sketch.

Imports `data`, `sketches` and `storage`. `tasks` reads the tables, `students` writes them.
"""
