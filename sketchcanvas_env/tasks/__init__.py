"""Tasks: what an environment steps through. Observations, outcomes and rewards as arrays to look up.

Imports `outcomes` and the rooms below; `envs` wraps tasks as Gymnasium environments.
"""
