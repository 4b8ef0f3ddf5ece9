"""The commands, one module a subject: each function is a command, its signature the options, its docstring the help.

May import the rest of `agents`, when called: `sketchcanvas --help` must come at once.
"""
