"""Tells this project's packages from others that bear the same names."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

_HALLMARKS: Mapping[str, str] = {
    "schemas": "avro/planstream.PlanSubmission.avsc",
    "agents": "core/__init__.py",
    "streams": "packages.py",
}
"""A file of each package that no other distribution's package of that name has."""


class PackageMixup(Exception):
    """Another distribution's package lies where one of planstream's should.

    Attributes:
        package: The name that both use.
        found: Where Python finds it; None when it finds none.
    """

    def __init__(self, package: str, found: Path | None) -> None:
        """Take the package's name, and where it was found."""
        self.package = package
        self.found = found
        super().__init__(_message(package, found))


def check_packages() -> None:
    """Make sure, without importing them, that the three packages are planstream's.

    Their names are short: the distribution openai-agents, for one, installs a package
    `agents` too, and the one installed last wins.

    Raises:
        PackageMixup: One is missing, or is somebody else's.
    """
    for package, hallmark in _HALLMARKS.items():
        found = _directory(package)
        if found is None or not (found / hallmark).is_file():
            raise PackageMixup(package, found)


def _directory(package: str) -> Path | None:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return Path(spec.origin) if spec is not None and spec.origin else None
    return Path(spec.submodule_search_locations[0])


def _message(package: str, found: Path | None) -> str:
    what = (
        f"There is no package {package!r}."
        if found is None
        else f"The package {package!r} in {found} is not planstream's."
    )
    return (
        f"{what} planstream installs the packages 'schemas', 'agents' and 'streams',"
        " and other distributions (openai-agents, for one) use these names too."
        " Install planstream, with your handlers, into a virtual environment of its"
        " own."
    )
