"""What a frozen student makes of a data set: outcome tables, looks, prefixes, evaluation rows, latency.

Imports `store` and `network`.
"""
