"""Whatever agents report, an error stays fit to be published."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.traces import (
    MAX_CONTEXT_CHARS,
    MAX_CONTEXT_DEPTH,
    MAX_LIST_CHARS,
    as_json,
    bounded,
    newest,
    with_list,
)
from schemas import codec
from schemas.commands import Limit
from schemas.errors import MAX_CAUSES, ExecutionError, Severity
from schemas.results import PlanResult
from tests.unit.core.plans import (
    FATAL,
    Run,
    causes,
    chain,
    error,
    retry,
    step,
    terms,
)


def chained(length: int, context: str = "{}") -> ExecutionError:
    """An error with causes."""
    top: ExecutionError | None = None
    for number in range(length):
        top = ExecutionError(
            error_code=f"E{number}",
            message="m",
            severity=Severity.ERROR,
            recoverable=True,
            cause=top,
            context=context,
        )
    assert top is not None
    return top


def with_text(context: str) -> ExecutionError:
    """An error whose context is this text."""
    return chained(1, context)


def nested(depth: int) -> str:
    """An object that nests this deep."""
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    "context",
    ["{}", '{"a":1}', nested(MAX_CONTEXT_DEPTH), '{"n":' + "1" * 9000 + "}"],
)
def test_a_fitting_error_is_not_touched(context: str) -> None:
    """R5: unchanged."""
    fitting = chained(MAX_CAUSES, context if len(context) < 1000 else "{}")
    assert bounded(fitting) is fitting
    assert bounded(with_text(context)).context == context


@pytest.mark.parametrize(
    "context",
    [
        "",
        "null",
        "[]",
        "{",
        '{"a":1} {}',
        '{"a":1,"a":2}',
        '{"a":NaN}',
        '{"a":"\\ud800"}',
        nested(MAX_CONTEXT_DEPTH + 1),
        nested(50_000),
        '{"a":"' + "x" * MAX_CONTEXT_CHARS + '"}',
    ],
)
def test_a_context_that_cannot_be_published_is_dropped_with_a_mark(
    context: str,
) -> None:
    """R21; in Avro a context is a string: another agent may put anything there."""
    found = json.loads(bounded(with_text(context)).context)
    assert list(found) == ["context_dropped"]


def test_a_long_chain_of_causes_is_cut_with_a_mark() -> None:
    """R21: at depth 16, marked."""
    cut = list(causes(bounded(chained(40))))
    assert [link.error_code for link in cut] == [f"E{n}" for n in range(39, 23, -1)]
    assert json.loads(cut[-1].context) == {"causes_cut": 24}


def test_the_contexts_of_a_chain_share_what_there_is_room_for() -> None:
    """The outermost, which say most, come first."""
    big = '{"a":"' + "x" * (MAX_CONTEXT_CHARS // 3) + '"}'
    kept = [link.context == big for link in causes(bounded(chained(5, big)))]
    assert kept == [True, True, False, False, False]


def test_a_cause_may_hold_anything_where_our_mark_is() -> None:
    """A number that is none must not stop the fold."""
    for context in ('{"causes_cut":"many"}', '{"causes_cut":1e9}', '{"causes_cut":{}}'):
        run = Run(terms(step(0, on_failure="skip"), step(1, 0)))
        run.fail(0, chained(MAX_CAUSES, context))
        assert len(list(causes(run.failure))) == MAX_CAUSES


def test_a_listed_error_is_written_as_records_write_it() -> None:
    """R19: full ExecutionErrors; the context embedded byte for byte."""
    sample = chained(2, '{"x":1e400,"y":"ü\\u0041"}')
    text = as_json(sample)
    assert '{"x":1e400,"y":"ü\\u0041"}' in text
    assert json.loads(text)["cause"]["error_code"] == "E0"
    assert codec.to_json(sample).split() == text.split() or json.loads(
        codec.to_json(sample)
    ) == json.loads(text)


def test_a_list_replaces_what_the_agent_put_under_its_name() -> None:
    """A member twice would make the record unreadable (R37)."""
    listed = with_list(with_text('{"errors":"mine","a":1}'), "errors", [chained(1)])
    assert listed.context.count('"errors"') == 1
    assert json.loads(listed.context)["a"] == 1


def test_lists_are_bounded_in_length_too() -> None:
    """An error that no longer fits is left out, the total tells (R19)."""
    big = with_text('{"a":"' + "x" * 30_000 + '"}')
    text = with_list(error(), "errors", [big] * 50 + [chained(1)]).context
    assert len(text) <= MAX_LIST_CHARS + 1000
    assert len(json.loads(text)["errors"]) == MAX_LIST_CHARS // 30_300


def test_of_large_errors_fewer_are_kept() -> None:
    """A step's row is written with each of its failures."""
    big = with_text('{"a":"' + "x" * 30_000 + '"}')
    assert newest((big,)) == (big,)
    assert len(newest((big,) * 40)) == MAX_LIST_CHARS // 30_300


contexts = st.one_of(
    st.dictionaries(st.text(max_size=5), st.text() | st.integers(), max_size=3).map(
        json.dumps
    ),
    st.text(max_size=20),
    st.integers(1, 150).map(nested),
    st.just('{"errors":[],"attempts":{},"errors_total":-1,"in_flight":0}'),
    st.just('{"a":"' + "\U0001f600" * 40_000 + '"}'),
)
errors = st.builds(
    lambda code, message, severity, length, context: chained(
        length, context
    ).model_copy(
        update={
            "error_code": code,
            "message": message,
            "severity": severity,
            "recoverable": severity is not FATAL,
        }
    ),
    st.sampled_from(["A", "B", "STEP_TIMEOUT", "UNKNOWN_ERROR"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=1000),
    st.sampled_from(Severity),
    st.integers(1, 20),
    contexts,
)


@given(st.lists(errors, min_size=1, max_size=8), st.sampled_from(codec.Format))
def test_every_result_can_be_published_and_read(
    reported: list[ExecutionError], fmt: codec.Format
) -> None:
    """F4, R21, R37: whatever agents report, the result validates and fits."""
    steps = [step(n, on_failure="retry") for n in range(3)]
    policy = retry(4, "A", "STEP_TIMEOUT")
    run = Run(terms(*steps, *[step(3, 0)], retry_policy=policy))
    for number, failure in enumerate(reported):
        run.fail(number % 3, failure, attempt=run.progress.attempt(number % 3))
    run.limit(Limit.DEADLINE)
    result = run.result
    record = PlanResult(
        plan_id=run.terms.plan_id,
        execution_id=run.terms.execution_id,
        status=result.status,
        completed_at=result.completed_at,
        duration_ms=result.duration_ms,
        steps_executed=len(result.completed),
        steps_total=result.steps_total,
        result_payload={},
        error=result.error,
    )
    data = codec.encode(record, fmt)
    assert len(data) < 2 * 1024 * 1024
    assert codec.decode(data, PlanResult) == record
    assert len(list(causes(run.failure))) <= MAX_CAUSES
    json.loads(run.failure.context)


def test_a_halted_step_with_the_longest_chain_keeps_the_codes_in_front() -> None:
    """R5, R21: what is cut is the far end."""
    run = Run(terms(*chain(2)))
    run.fail(0, chained(MAX_CAUSES))
    codes = [link.error_code for link in causes(run.failure)]
    assert codes[:2] == ["EXECUTION_HALTED", "E15"]
    assert len(codes) == MAX_CAUSES
