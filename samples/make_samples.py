"""Draw the sample pictures: python samples/make_samples.py [NAME...] [--out DIR]."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from generators.catalogue import CATALOGUE, draw


def main() -> None:
    """Draw the named pictures, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(CATALOGUE)}")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent, help="folder to write to"
    )
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in CATALOGUE]
    if unknown:
        parser.error(f"no sample named {', '.join(unknown)}; choose from {', '.join(CATALOGUE)}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or CATALOGUE:
        path = draw(name, options.out)
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
