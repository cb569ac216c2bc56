"""Errors kept small enough to publish, and written into other errors' contexts.

Whatever step agents report, the result of a plan must fit into a record and be
readable: else it could never be published, and its plan would never end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from schemas.errors import CAUSES_CUT, MAX_CAUSES, ExecutionError
from schemas.json_scan import is_deeper, raw_members
from schemas.opaque import dump

MAX_LISTED: Final = 50
"""How many errors a list in an error's context has at most (R11)."""
MAX_CONTEXT_CHARS: Final = 32_768
"""What the contexts of one error and its causes may have together."""
MAX_LIST_CHARS: Final = 200_000
"""What a list of errors may have. A plan's error has two at most, the other failures
and the attempts of the primary one, so it stays under 2 MiB of UTF-8."""
MAX_CONTEXT_DEPTH: Final = 64
"""How deep a reported context may nest; lists and causes nest on top of it, and a
record may have 200 levels (R37)."""


def bounded(error: ExecutionError) -> ExecutionError:
    """`error` with no more causes and context than we publish; itself when it fits."""
    chain = list(_chain(error))
    if len(chain) <= MAX_CAUSES and _fits(chain):
        return error
    room = MAX_CONTEXT_CHARS
    contexts = []
    for link in chain[:MAX_CAUSES]:
        context = _sound_context(link.context, room)
        room = max(room - len(context), 0)
        contexts.append(context)
    if len(chain) > MAX_CAUSES:
        contexts[-1] = f'{{"{CAUSES_CUT}":{len(chain) - MAX_CAUSES}}}'
    return _rebuilt(chain, contexts)


def size_of(error: ExecutionError) -> int:
    """Characters that an error brings into a record, about."""
    return sum(len(link.message) + len(link.context) + 256 for link in _chain(error))


def newest(errors: tuple[ExecutionError, ...]) -> tuple[ExecutionError, ...]:
    """The last of the errors, at least one, as many as a row and a list may have."""
    errors = errors[-MAX_LISTED - 1 :]
    while len(errors) > 1 and sum(map(size_of, errors)) > MAX_LIST_CHARS:
        errors = errors[1:]
    return errors


def with_list(
    error: ExecutionError, name: str, listed: Sequence[ExecutionError]
) -> ExecutionError:
    """`error` with `listed` in its context, under `name`, as whole errors."""
    members = raw_members(error.context)
    members[name] = "[" + ",".join(_within_bounds(listed)) + "]"
    return _with_members(error, members)


def with_number(error: ExecutionError, name: str, number: int) -> ExecutionError:
    """`error` with a number in its context, under `name`."""
    members = raw_members(error.context)
    members[name] = str(number)
    return _with_members(error, members)


def as_json(error: ExecutionError) -> str:
    """`error` as JSON text, its contexts embedded as they are written."""
    text = "null"
    for link in reversed(list(_chain(error))):
        text = _link_json(link, text)
    return text


def _link_json(error: ExecutionError, cause: str) -> str:
    step_id = "null" if error.step_id is None else f'"{error.step_id}"'
    recoverable = "true" if error.recoverable else "false"
    return (
        f'{{"error_code":{dump(error.error_code)},"message":{dump(error.message)},'
        f'"step_id":{step_id},"severity":"{error.severity.value}",'
        f'"recoverable":{recoverable},"cause":{cause},"context":{error.context}}}'
    )


def _within_bounds(listed: Sequence[ExecutionError]) -> Iterator[str]:
    room = MAX_LIST_CHARS
    for error in listed[:MAX_LISTED]:
        text = as_json(error)
        if len(text) <= room:
            room -= len(text)
            yield text


def _with_members(error: ExecutionError, members: dict[str, str]) -> ExecutionError:
    context = ",".join(f"{dump(name)}:{text}" for name, text in members.items())
    return error.model_copy(update={"context": f"{{{context}}}"})


def _chain(error: ExecutionError) -> Iterator[ExecutionError]:
    link: ExecutionError | None = error
    while link is not None:
        yield link
        link = link.cause


def _fits(chain: Sequence[ExecutionError]) -> bool:
    contexts = [link.context for link in chain]
    if sum(map(len, contexts)) > MAX_CONTEXT_CHARS:
        return False
    return all(context == "{}" or _is_sound(context) for context in contexts)


def _is_sound(context: str) -> bool:
    try:
        raw_members(context)
    except ValueError:
        return False
    return not is_deeper(context, MAX_CONTEXT_DEPTH)


def _sound_context(context: str, room: int) -> str:
    if context == "{}":
        return context
    if len(context) > room:
        return f'{{"context_dropped":"{len(context)} characters"}}'
    if not _is_sound(context):
        return '{"context_dropped":"no JSON object, or nested too deep"}'
    return context


def _rebuilt(chain: Sequence[ExecutionError], contexts: list[str]) -> ExecutionError:
    links = list(zip(chain, contexts, strict=False))
    cause = _with(*links.pop(), None)
    while links:
        cause = _with(*links.pop(), cause)
    return cause


def _with(
    error: ExecutionError, context: str, cause: ExecutionError | None
) -> ExecutionError:
    return error.model_copy(update={"context": context, "cause": cause})
