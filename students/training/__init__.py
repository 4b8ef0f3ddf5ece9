"""Training of teachers and students: configuration, pairs, augmentation, losses, the loop.

Imports `tables` (to score on val), `store` and `network`.
"""
