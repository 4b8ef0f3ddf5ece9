"""The training algorithms, one file each; `registry` names them, `common` holds what they share.

Imports `evaluation` and `selectors`.
"""
