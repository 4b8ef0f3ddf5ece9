"""Results for people: tables, plots, documents and pages.

Renders what `experiments` and `studies` return.
"""
