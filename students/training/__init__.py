"""Training of teachers and students: settings, data, losses, the loop, publishing.

Imports `tables` (to score on val), `store` and `network`.
"""
