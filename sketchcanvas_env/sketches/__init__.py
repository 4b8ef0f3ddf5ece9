"""Vector sketches: the type, drawing them to pixels, freehand variants, and cheap statistics.

Imports `storage` only. Everything above may import it.
"""
