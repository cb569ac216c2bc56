"""Starts the command line: `planstream`, or `python -m streams`."""

import sys
from importlib.util import find_spec
from pathlib import Path

_MARKS = {"agents": "StepContext", "schemas": "planstream"}
"""Words in our packages' first lines, by which foreign ones are told apart."""


def main() -> None:
    """Run the command line, if the packages beside this one are planstream's."""
    if problem := foreign_package():
        print(f"planstream: {problem}", file=sys.stderr)  # noqa: T201 no more is there
        raise SystemExit(2)
    from streams.cli import app  # noqa: PLC0415 not before the check

    app(prog_name="planstream")


def foreign_package() -> str | None:
    """Say which package of ours another distribution has taken the place of.

    `agents` and `schemas` are common names (`openai-agents` installs `agents` too);
    mixed up, they end in an ImportError that helps nobody.
    """
    for name, mark in _MARKS.items():
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            return f"the package {name!r} is missing: install planstream again"
        if mark not in Path(spec.origin).read_text(encoding="utf-8"):
            return (
                f"the package {name!r} at {spec.origin} is not planstream's: another "
                "distribution of that name shadows it; give planstream its own "
                "virtual environment"
            )
    return None


if __name__ == "__main__":
    main()
