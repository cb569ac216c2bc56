"""Turns original WfFormat files into the compact ones in `instances/`.

`python -m examples.wfcommons.convert --into FOLDER FILE…`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.wfcommons.instance import InstanceError, load, to_compact


def convert(original: Path, folder: Path) -> Path:
    """Writes the compact form of one file, under the same name, and says where."""
    compact = folder / original.name
    compact.write_text(to_compact(load(original)), encoding="utf-8")
    return compact


def main(arguments: Sequence[str] | None = None) -> int:
    """Converts the files named on the command line."""
    options = _parser().parse_args(arguments)
    options.into.mkdir(parents=True, exist_ok=True)
    try:
        for original in options.files:
            compact = convert(original, options.into)
            print(f"{compact}: {compact.stat().st_size} bytes")
    except (InstanceError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="convert", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    return parser


if __name__ == "__main__":
    sys.exit(main())
