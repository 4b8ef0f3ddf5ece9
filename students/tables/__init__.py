"""Outcomes of a frozen student on a data set: outcome tables, looks, prefixes, evaluation rows, latency.

Imports `store` and `network`.
"""
