"""§1, §2 and R34 on single members: what passes, and what does not, from tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from streams.conformance.cases import (
    ANY,
    SUCCESS,
    Case,
    Err,
    Expected,
    case,
    failure,
    refused,
)
from streams.conformance.making import (
    MISSING,
    In,
    Raw,
    changed,
    named,
    new_id,
    step,
    submission,
)

_BIG: Final = 2**63 - 1
_NO_INTS: Final[tuple[Any, ...]] = (
    "3",
    True,
    Raw("3.0"),
    Raw("1e3"),
    None,
    [],
    {},
    2**63,
)
_NO_TEXTS: Final[tuple[Any, ...]] = (1, True, None, [], {})
_NO_POSITIVES: Final[tuple[Any, ...]] = (*_NO_INTS, 0, -1)
_NO_SPANS: Final[tuple[Any, ...]] = (*_NO_INTS, -1)
_NO_LISTS: Final[tuple[Any, ...]] = ("a", 1, None, {})
_NO_OBJECTS: Final[tuple[Any, ...]] = ("a", 1, True, None, [])
_UPPER: Final = "ABCDEFAB-CDEF-4BCD-8BCD-ABCDEFABCDEF"
_NO_IDS: Final[tuple[Any, ...]] = (
    *_NO_TEXTS,
    "",
    "step-1",
    _UPPER,
    "{abcdefab-cdef-4bcd-8bcd-abcdefabcdef}",
    "abcdefabcdef4bcd8bcdabcdefabcdef",
    "abcdefab-cdef-4bcd-8bcd-abcdefabcdef\n",
    *(f"abcdefab-cdef-{version}bcd-8bcd-abcdefabcdef" for version in "01235678"),
    *(f"abcdefab-cdef-4bcd-{variant}bcd-abcdefabcdef" for variant in "7c"),
    "00000000-0000-0000-0000-000000000000",
)


@dataclass(frozen=True)
class At:
    """A value with the violation at a place in it."""

    below: str
    value: Any


@dataclass(frozen=True)
class Field:
    """A member: values that pass, and values that do not."""

    path: str
    rules: str
    good: tuple[Any, ...] = ()
    bad: tuple[Any, ...] = ()


FIELDS: Final = (
    Field(
        "plan.version",
        "§1 R1 R34 §6.12",
        good=(1,),
        bad=(MISSING, *_NO_POSITIVES, 2, _BIG),
    ),
    Field("plan.created_at", "§1 R34", good=(1, _BIG), bad=(MISSING, *_NO_POSITIVES)),
    Field(
        "plan.name",
        "§1 R34",
        good=("n", "n" * 255, "😀" * 255),
        bad=(MISSING, *_NO_TEXTS, "", "n" * 256, "é" * 256),
    ),
    Field(
        "plan.context_requirements",
        "§1 §2",
        good=(["where"], ["where", "where"]),
        bad=(MISSING, *_NO_LISTS, [], At("[1]", ["where", ""]), At("[0]", [1])),
    ),
    Field(
        "plan.priority",
        "§1 R34",
        good=(MISSING, 0, -1, _BIG, -(2**63)),
        bad=(*_NO_INTS, -(2**63) - 1, Raw("1" * 5000), Raw("1e400")),
    ),
    Field("plan.timeout_ms", "§1", good=(60_000,), bad=_NO_POSITIVES),
    Field(
        "plan.metadata",
        "§1",
        good=(MISSING, {}, {"a": [None, 10**40, Raw("1e400")]}),
        bad=_NO_OBJECTS,
    ),
    Field(
        "plan.tags",
        "§1",
        good=(MISSING, [], ["", "a", "a"]),
        bad=(*_NO_LISTS, At("[1]", ["a", 1]), At("[0]", [None])),
    ),
    Field(
        "plan.estimated_duration_ms",
        "§1 R34",
        good=(MISSING, None, 1, _BIG),
        bad=tuple(each for each in _NO_POSITIVES if each is not None),
    ),
    Field("plan.nmae", "§1", bad=("n", None)),
    Field("plan.retry_policy", "§1 §1.1", good=(MISSING, {}), bad=_NO_OBJECTS),
    Field(
        "plan.retry_policy.max_attempts",
        "§1.1",
        good=(MISSING, 1, 2, _BIG),
        bad=_NO_POSITIVES,
    ),
    Field(
        "plan.retry_policy.backoff_ms", "§1.1", good=(MISSING, 0, _BIG), bad=_NO_SPANS
    ),
    Field(
        "plan.retry_policy.backoff_multiplier",
        "§1.1 R34",
        good=(MISSING, 1, 3, 1.0, 1.5, Raw("1e300")),
        bad=("1.0", True, None, [], 0, 0.99, -1.0, Raw("1e400")),
    ),
    Field(
        "plan.retry_policy.max_backoff_ms",
        "§1.1",
        good=(MISSING, 0, _BIG),
        bad=_NO_SPANS,
    ),
    Field(
        "plan.retry_policy.retryable_error_codes",
        "§1.1 R7",
        good=(MISSING, [], ["MINE", "STEP_TIMEOUT", "STEP_ERROR"]),
        bad=(*_NO_LISTS, At("[1]", ["A", None]), At("[0]", [1])),
    ),
    Field("plan.retry_policy.jitter", "§1.1", bad=(1, None)),
    Field(
        "plan.steps",
        "§1 R35",
        bad=(MISSING, *_NO_LISTS, [], At("[0]", [1]), At("[0]", [None])),
    ),
    Field("plan.steps[0].id", "§1 R34", bad=(MISSING, *_NO_IDS)),
    Field("plan.steps[0].action", "§1 R34", bad=(MISSING, *_NO_TEXTS, "", "é" * 101)),
    Field(
        "plan.steps[0].payload",
        "§1",
        good=({}, {"any": [None, 10**40]}),
        bad=(MISSING, *_NO_OBJECTS),
    ),
    Field(
        "plan.steps[0].depends_on",
        "§1 R34",
        good=(MISSING, []),
        bad=(*_NO_LISTS, *(At("[0]", [each]) for each in _NO_IDS)),
    ),
    Field(
        "plan.steps[0].on_failure",
        "§1",
        good=(MISSING, "halt", "skip", "retry"),
        bad=(*_NO_TEXTS, "", "stop", "HALT", "Skip"),
    ),
    Field(
        "plan.steps[0].timeout_ms",
        "§1",
        good=(MISSING, None, 60_000, _BIG),
        bad=tuple(each for each in _NO_POSITIVES if each is not None),
    ),
    Field("plan.steps[0].retries", "§1", bad=(3, None)),
    Field("started_at", "§2 R32", good=(1,), bad=(MISSING, *_NO_POSITIVES)),
    Field("deadline_ms", "§2", good=(_BIG,), bad=(MISSING, *_NO_POSITIVES)),
    Field(
        "environment",
        "§2",
        good=({"where": None}, {"where": Raw("1e400"), "": [], "more": {}}),
        bad=(MISSING, *_NO_OBJECTS),
    ),
    Field(
        "parent_execution_id",
        "§2 R34",
        good=(MISSING, None, named("somebody")),
        bad=tuple(each for each in _NO_IDS if each is not None),
    ),
    Field(
        "user_id",
        "§2 R34",
        good=(MISSING, None, "", "ü"),
        bad=tuple(each for each in _NO_TEXTS if each is not None),
    ),
    Field(
        "request_id",
        "§2 R34",
        good=(MISSING, None, "", "ü"),
        bad=tuple(each for each in _NO_TEXTS if each is not None),
    ),
    Field(
        "correlation_context",
        "§2 R34",
        good=(MISSING, None, {}, {"trace": "ü"}),
        bad=("a", 1, True, [], At(".a", {"a": 1}), At(".a", {"a": None})),
    ),
    Field("enviroment", "§2", bad=({}, None)),
)


def fields() -> Iterator[Case]:
    """A case for each value of each field."""
    for each in FIELDS:
        for value in each.good:
            made = changed(_base(each.path), each.path, value)
            yield case(_name(each.path, value), each.rules, made, SUCCESS)
        for value in each.bad:
            below, inner = (
                (value.below, value.value) if isinstance(value, At) else ("", value)
            )
            made = changed(_base(each.path), each.path, inner)
            expected = refused("INVALID_PAYLOAD", (each.path + below, "schema"))
            rules = f"{each.rules} Refusals R35 R20"
            yield case(_name(each.path, value), rules, made, expected)


def sizes() -> Iterator[Case]:
    """Numbers of steps, lengths of actions, and what goes with other members."""
    many = [step(f"s{number}") for number in range(1025)]
    yield case("1,024 steps", "§1", submission(*many[:1024]), SUCCESS)
    yield case(
        "1,025 steps",
        "§1 Refusals",
        submission(*many),
        replace(refused("INVALID_PAYLOAD", ("plan.steps", "schema")), total=1025),
    )
    yield case(
        "an action of 100 characters",
        "§1 §4",
        submission(step("a", action="é" * 100)),
        failure(Err("ACTION_NOT_FOUND", step="a")),
    )
    yield case(
        "two steps with one id",
        "§1",
        submission(step("a"), step("b"), step("a")),
        refused("INVALID_PAYLOAD", ("plan.steps[2].id", "schema")),
    )
    yield case(
        "the same step ids in another plan",
        "§1 §6.13",
        submission(step("a"), step("b", after=("a",))),
        SUCCESS,
    )
    yield case(
        "all defaults",
        "§1 §1.1 §2",
        _without_defaults(),
        Expected(SUCCESS.status, results={"a": ANY}, log={"a": ("ok",)}),
    )


def _without_defaults() -> Mapping[str, Any]:
    """The least that a submission can be: its plan's timeout is 300,000 ms."""
    made = submission(step("a"))
    for path in ("plan.timeout_ms", "plan.steps[0].depends_on"):
        made = changed(made, path, MISSING)
    return changed(made, "deadline_ms", In(300_000))


def _base(path: str) -> dict[str, Any]:
    """A sound submission in which the path can be changed."""
    made = submission(step("a"))
    made["plan"]["id"] = new_id()
    if path.startswith("plan.retry_policy."):
        name = path.rpartition(".")[2]
        made["plan"]["retry_policy"] = {name: 1}
    for optional in (
        "plan.priority",
        "plan.metadata",
        "plan.tags",
        "plan.retry_policy",
    ):
        if path == optional:
            made["plan"][optional.partition(".")[2]] = None
    if "[0]." in path:
        made["plan"]["steps"][0].setdefault(path.rpartition(".")[2], None)
    elif "." not in path or path.count(".") == 1:
        outer = made["plan"] if path.startswith("plan.") else made
        outer.setdefault(path.rpartition(".")[2], None)
    return made


def _name(path: str, value: Any) -> str:
    shown = repr(value.value if isinstance(value, At) else value)
    if isinstance(value, Raw):
        shown = value.text
    return f"{path} {shown if len(shown) < 50 else shown[:30] + f'… of {len(shown)}'}"
