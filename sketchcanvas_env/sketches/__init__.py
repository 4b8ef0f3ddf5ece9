"""Vector sketches: the type, rasterisation, synthetic freehand variants, and statistics.

Imports `storage` only; all other layers may import it.
"""
