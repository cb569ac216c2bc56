"""Functions that follow Avro schemas and were made ahead of time: none.

They are made when a schema is first met. Where planstream is compiled (docs/adr/0016),
a library of this name is found first, which has functions for records that come with
every plan: `tools/avro.py` writes its source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {}
"""By the digest of the source that they were made of."""
