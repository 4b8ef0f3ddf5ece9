"""Training data: pairs of sketches and photos, their variants and augmentation, and checks of their settings.

Imports nothing of `training` above it.
"""
