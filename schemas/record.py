"""The common base of everything that travels on a topic."""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_NESTING = 64
"""How many records may lie one in another when read; R21 cuts causes at 16.

Bounds the recursion of whoever handles the value afterwards."""
INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)

UUID4_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
"""A canonical (lower-case, 36 characters) UUID version 4 (R34)."""

Item = TypeVar("Item")

_UUID4_CHARACTERS = 36

Uuid4 = Annotated[
    str,
    StringConstraints(pattern=UUID4_PATTERN),
    # In some validators of JSON Schema `$` matches before a line end as well.
    Field(json_schema_extra={"maxLength": _UUID4_CHARACTERS}),
]
Int64 = Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)]
Count = Annotated[int, Field(ge=0, le=INT64_MAX)]
Positive = Annotated[int, Field(gt=0, le=INT64_MAX)]
Millis = Annotated[int, Field(ge=0, le=INT64_MAX)]
"""A span in milliseconds."""
Instant = Annotated[int, Field(gt=0, le=INT64_MAX)]
"""A point in time, Unix milliseconds."""
Items = Annotated[tuple[Item, ...], Field(strict=False)]
"""A list of the wire, frozen; not strict, since decoders hand over lists."""


class Record(BaseModel):
    """A value that travels on a topic or lies in a table: strict, frozen, closed."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    shares_topic: ClassVar[bool] = False
    """Its topic carries other models too: in JSON a `type` member tells which."""
    judged_apart: ClassVar[bool] = False
    """Decoding into fields leaves judging the members to `schemas.validation`."""
