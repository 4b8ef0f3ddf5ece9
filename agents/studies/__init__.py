"""Studies for the READMEs: students, ceiling of what can be learnt, costs and latencies.

Imports `experiments`, `search` and the rooms below.
"""
