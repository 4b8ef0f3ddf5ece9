"""Studies for the READMEs: students, what bounds a selector, costs and latencies, pooled comparisons.

Imports `experiments`, `search` and the rooms below.
"""
