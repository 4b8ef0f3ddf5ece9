"""Photos from untrusted files: reading them under limits, and laying them on white paper.

Imports no other room. Used by the loaders of data sets and by the search of pictures.
"""
