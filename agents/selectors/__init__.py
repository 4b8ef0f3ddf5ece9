"""Selector networks: observations, networks, the choice from scores, and rules that need no training.

Imports no other room of this package.
"""
