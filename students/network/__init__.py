"""A student network: trunk and head, its FLOPs, and the HOG baseline that learns nothing.

Imports `backbones`. Weights are read and written by `store`.
"""
