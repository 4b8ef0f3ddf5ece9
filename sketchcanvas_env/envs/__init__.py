"""The Gymnasium environments, single and vector, and their pictures.

The top room of this package: imports all others.
"""
