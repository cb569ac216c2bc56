"""Where downloads are kept between runs."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """`PLANSTREAM_CACHE`, else `planstream` in the user's cache directory."""
    if chosen := os.environ.get("PLANSTREAM_CACHE"):
        return Path(chosen).expanduser().absolute()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base).absolute() / "planstream"
    return Path.home() / ".cache" / "planstream"
