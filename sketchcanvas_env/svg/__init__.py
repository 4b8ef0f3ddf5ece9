"""A strict SVG reader: turns the shapes of a file into the strokes of a sketch, and refuses what it cannot read.

Imports `sketches` and `storage`. Used by the data formats, the command line and the web page.
"""
