"""Loaders of data sets as they are published: one file for each format, and what they share.

Imports `data.dataset` and the rooms below; `data.load` picks a loader by name.
"""
