"""Trained selectors on disk, and provenance of results.

Imports `algorithms` and the rooms below.
"""
