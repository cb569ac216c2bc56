"""Starts the command line: `planstream`, or `python -m streams`."""

import sys

from streams.packages import PackageMixup, check_packages


def main() -> None:
    """Run the command line, if the packages beside this one are planstream's."""
    try:
        check_packages()
    except PackageMixup as error:
        print(f"planstream: {error}", file=sys.stderr)  # noqa: T201 no more is there
        raise SystemExit(2) from None
    from streams.cli import app  # noqa: PLC0415 not before the check

    app(prog_name="planstream")


if __name__ == "__main__":
    main()
