"""Tasks: the rules, observations and rewards that the environments step through, as arrays.

Imports `outcomes` and the rooms below; `envs` wraps tasks as Gymnasium environments.
"""
