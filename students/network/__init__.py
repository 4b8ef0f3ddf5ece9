"""A student network (trunk and heads), its FLOPs and calibration, and the HOG baseline without training.

Imports `backbones`. Weights are read and written by `store`.
"""
