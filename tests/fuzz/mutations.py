"""Changes to values and to bytes, drawn from a seed, that know what they change."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

Place = tuple[Any, Any]
"""A container and a key of it."""

TOO_DEEP = 300
LARGE = 100
"""Places in a value from which on it is not made larger: it would grow without end."""
LOOKED_AT = 5_000

STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, 3.0, 1e300, 5_000),
    *(2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**50),
    *("", "a", "🙂", "\0", "\ud800", "a" * 256, "a" * 5_000, "1", "null", "NaN"),
    *("halt", "skip", "retry", "echo", "sleep", "nobody's", "STEP_ERROR", "BROKEN"),
    *([], [[]], [None], {}, {"a": 1}, {"": {"": []}}, list(range(1_000))),
)
"""Values that are right in some places, and wrong in others."""


def places(value: Any) -> Iterator[Place]:
    """Every place in a JSON value."""
    todo = [value]
    while todo:
        inner = todo.pop()
        keys = inner.keys() if isinstance(inner, dict) else range(len(inner))
        for key in keys:
            yield inner, key
            if isinstance(inner[key], dict | list):
                todo.append(inner[key])


def change(dice: random.Random, value: dict[str, Any]) -> None:
    """Change one thing, somewhere in a JSON object."""
    found = list(islice(places(value), LOOKED_AT))
    if not found:
        return
    inner, key = dice.choice(found)
    is_small = len(found) < LARGE
    match dice.randrange(9):
        case 0:
            del inner[key]
        case 1 | 2 if is_small:
            other, its_key = dice.choice(found)
            inner[key] = deepcopy(other[its_key])  # which may hold the place itself
        case 3 if isinstance(inner, dict):
            inner[dice.choice(["another", "id", "type", ""])] = _strange(dice)
        case 4 if isinstance(inner, list) and is_small:
            inner.extend([inner[key]] * dice.choice([1, 1_100]))
        case 5:
            inner[key] = dice.choice([str(uuid.UUID(int=dice.getrandbits(128))), "é"])
        case 6 if type(inner[key]) is int:
            inner[key] += dice.choice([-1, 1, 1_000, -(10**6), 10**13])
        case _:
            inner[key] = _strange(dice)


def nest(dice: random.Random, text: str) -> str:
    """Put a deep nest where some value stands in JSON text."""
    at = dice.choice([n for n, char in enumerate(text) if char == ":"] or [0])
    deep = "[" * TOO_DEEP + "]" * TOO_DEEP
    return text[: at + 1] + deep + "," + '"x":' + text[at + 1 :]


def damage(dice: random.Random, data: bytes) -> bytes:
    """Change, cut, insert or double bytes in a few places."""
    damaged = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(damaged))
        until = min(at + dice.randint(0, 8), len(damaged))
        piece = bytes(damaged[at:until])
        new = (b"", dice.randbytes(until - at), dice.randbytes(4), piece * 2)
        damaged[at:until] = dice.choice(new)
    if dice.random() < 0.1:
        del damaged[dice.randint(0, len(damaged)) :]
    return bytes(damaged)


def _strange(dice: random.Random) -> Any:
    """A copy: the next change may be one inside it."""
    return deepcopy(dice.choice(STRANGE))
