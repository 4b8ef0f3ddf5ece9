"""A strict SVG reader: a file's shapes become the strokes of a sketch; anything doubtful is refused.

Imports `sketches` and `storage`. Used by the data formats, the command line and the page.
"""
