"""The `texsynth` command, also as `python -m texsynth`."""

import sys

from texsynth.interrupts import INTERRUPTED, leave_signals, take_signals
from texsynth.startup import prepare_process, quick_end


def main() -> None:
    """Run the command that was typed, and leave with its exit code."""
    take_signals()
    prepare_process()
    try:
        with quick_end():
            # Only now, so that a signal is heard by us while all of this is imported.
            from texsynth.cli import app

            app()
    except KeyboardInterrupt:  # before or after all that a command catches
        sys.stderr.write("texsynth: interrupted\n")
        sys.exit(INTERRUPTED)
    finally:
        leave_signals()


if __name__ == "__main__":
    main()
