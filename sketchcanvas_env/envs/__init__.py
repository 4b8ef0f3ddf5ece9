"""The Gymnasium environments, single and vector, and their rendering.

The top layer of this package; it may import all others.
"""
