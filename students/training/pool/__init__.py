"""What a network is trained on: pairs of sketches and photos, drawn and changed afresh at every step.

Imports nothing of `training` above it.
"""
