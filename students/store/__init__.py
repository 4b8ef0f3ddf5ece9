"""Trained weights with their cards, published starts, checkpoints, provenance, and checks for leakage.

Imports `network` and `backbones`.
"""
