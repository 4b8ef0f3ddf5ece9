"""`python -m agents` is `sketchcanvas`."""

from agents.cli import main

if __name__ == "__main__":
    main()
