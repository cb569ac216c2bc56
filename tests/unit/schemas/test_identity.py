from __future__ import annotations

import time
from typing import Any

import pytest

from schemas.codec import Format, encode_fields
from schemas.context import PlanSubmission
from schemas.identity import Ids, identify, peek_ids
from tests.unit.schemas.factories import (
    EXECUTION_ID,
    PLAN_ID,
    submission,
    uuid4,
    with_plan,
    without,
)

IDS = Ids(PLAN_ID, EXECUTION_ID)


def test_identify() -> None:
    """Both ids are found, whatever else is wrong."""
    assert identify(submission()) == IDS
    assert identify({"plan": {"id": PLAN_ID}, "execution_id": EXECUTION_ID}) == IDS


@pytest.mark.parametrize(
    "fields",
    [
        {},
        submission(plan=None),
        submission(plan=[PLAN_ID]),
        without(submission(), "execution_id"),
        without(submission(), "plan", "id"),
        with_plan(id=PLAN_ID.replace("4000", "1000")),
        with_plan(id=PLAN_ID + "\n"),
        with_plan(id=3),
        submission(execution_id="ABCDEFAB-CDEF-4BCD-8BCD-ABCDEFABCDEF"),
        submission(execution_id=[EXECUTION_ID]),
    ],
)
def test_identify_wants_both(fields: dict[str, Any]) -> None:
    """Without two canonical UUIDs version 4 there is no identity (R38)."""
    assert identify(fields) is None


@pytest.mark.parametrize("fmt", list(Format))
def test_peek(fmt: Format) -> None:
    """The ids are found in the bytes of a record of either format."""
    assert peek_ids(encode_fields(PlanSubmission, submission(), fmt)) == IDS


def too_deep(*members: str) -> bytes:
    """JSON that nests ten thousand levels, among other members."""
    deep = '"x":' + '{"id":[' * 10_000 + "]}" * 10_000
    return ("{" + ",".join([deep, *members]) + "}").encode()


def test_peek_into_the_depth() -> None:
    """The ids are found behind whatever nests too deep (R37)."""
    plan = f'"plan": {{"steps": {"[" * 10_000}{"]" * 10_000}, "id": "{PLAN_ID}"}}'
    execution = f'"execution_id" : "{EXECUTION_ID}"'
    assert peek_ids(too_deep(plan, execution)) == IDS
    assert peek_ids(too_deep(execution, plan)) == IDS
    assert peek_ids(too_deep(plan)) is None
    assert peek_ids(too_deep(execution)) is None


@pytest.mark.parametrize(
    "plan",
    [
        f'{{"steps": [{{"id": "{PLAN_ID}"}}]}}',
        f'{{"metadata": {{"id": "{PLAN_ID}"}}}}',
        f'{{"id": ["{PLAN_ID}"]}}',
        f'["id", "{PLAN_ID}"]',
        f'{{"name": "id\\": \\"{PLAN_ID}"}}',
        '{"id": 3}',
    ],
)
def test_peek_takes_no_other_id(plan: str) -> None:
    """Only the members `plan.id` and `execution_id` are ids."""
    text = f'{{"execution_id": "{EXECUTION_ID}", "plan": {plan}}}'
    assert peek_ids(text.encode()) is None


def test_peek_reads_escapes() -> None:
    """Names and ids may be written with escapes."""
    escaped = "\\u0030" + uuid4(2)[1:]
    text = f'{{"\\u0070lan": {{"id": "{PLAN_ID}"}}, "execution_id": "{escaped}"}}'
    assert peek_ids(text.encode()) == IDS


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\x00",
        b"\xc3\x01",
        b"\xc3\x01\xff\xff",
        b"\xff",
        b"]]]]{{[[",
        b'"',
    ],
)
def test_peek_never_fails(data: bytes | None) -> None:
    """Bytes without ids are no error here."""
    assert peek_ids(data) is None


@pytest.mark.parametrize("filling", ["[", "{", '"', '{"a":"b","c":', "]", ":", "\\"])
def test_peek_is_linear(filling: str) -> None:
    """A megabyte of anything is searched within moments."""
    began = time.monotonic()
    assert peek_ids(filling.encode() * (2**20 // len(filling))) is None
    assert time.monotonic() - began < 5
