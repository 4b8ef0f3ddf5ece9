"""An index of embedded photos, and the nearest photos of a sketch in it.

Imports `tables`, `store` and `network`.
"""
