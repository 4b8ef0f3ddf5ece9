"""Stored weights with their cards: students, published starts, checkpoints; provenance and leakage checks.

Imports `network` and `backbones`.
"""
