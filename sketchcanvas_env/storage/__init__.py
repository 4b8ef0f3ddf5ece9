"""Files: atomic writes, bounded reads, `.npz` and table files, the user's cache, long lists of names.

Imports nothing else of this package; all other layers may import it.
"""
