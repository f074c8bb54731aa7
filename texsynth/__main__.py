"""`python -m texsynth`."""

from texsynth.cli import main

if __name__ == "__main__":
    main()
