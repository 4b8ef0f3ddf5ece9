"""Sketch search from end to end: selector, raster, student, ranking; and a picture of the answer.

Imports `store`, `onnx` and the rooms below.
"""
