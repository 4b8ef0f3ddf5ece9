"""Files: atomic writes, bounded reads, `.npz` and table files, the user's cache, long lists of names.

Imports nothing of this package. Every room may import it.
"""
