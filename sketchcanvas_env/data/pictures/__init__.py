"""Photos out of files that nobody vouches for, and how they are laid on white paper.

Imports no other room. Used by the loaders of data sets and by the search of pictures.
"""
