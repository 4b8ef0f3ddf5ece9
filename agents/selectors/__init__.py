"""Selector networks: what a selector sees of a sketch, the networks, and rules that need no training.

Imports no other room of this package.
"""
