import json
import uuid

import pytest

from schemas.errors import Severity, make_error
from schemas.results import PlanResult, Status
from streams.cli_output import ExitCode, worst
from streams.cli_printing import Printer
from streams.cli_watch import instant
from streams.results import Rejected

PLAN, EXECUTION, STEP = (str(uuid.uuid4()) for _ in range(3))


def result(status: Status, message: str | None = None) -> PlanResult:
    """Make a result."""
    error = None
    if message is not None:
        error = make_error(
            "CARD_DECLINED", message, step_id=STEP, severity=Severity.FATAL
        )
    return PlanResult(
        plan_id=PLAN,
        execution_id=EXECUTION,
        status=status,
        completed_at=2_000,
        duration_ms=12,
        steps_executed=1,
        steps_total=3,
        result_payload={STEP: '{"x": 1.0}'},
        error=error,
    )


def test_a_result_is_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Plain text in a pipe, without colours."""
    Printer(as_json=False).result(result(Status.FAILURE, "issuer said no"))
    assert capsys.readouterr().out == (
        f"failure  {PLAN}  1/3 steps  12 ms  CARD_DECLINED: issuer said no "
        f"(step {STEP})\n"
    )


def test_a_strangers_message_stays_in_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither line ends nor terminal codes nor markup get through."""
    message = "a\nb\x1b[31m[bold]" + "x" * 500
    Printer(as_json=False).result(result(Status.FAILURE, message))
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert "a b [31m[bold]x" in out
    assert len(out) < 350


def test_a_result_is_its_record_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The fields of the contract, opaque values as they are."""
    Printer(as_json=True).result(result(Status.SUCCESS))
    out = capsys.readouterr().out
    assert '{"x": 1.0}' in out
    assert json.loads(out)["plan_id"] == PLAN
    assert json.loads(out)["status"] == "success"


def letter(*headers: tuple[str, bytes | None]) -> Rejected:
    """Make a dead letter."""
    return Rejected("p.rejected", 1, 7, 2_000, headers, PLAN.encode(), b"{")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_dead_letter_tells_why_and_where(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """The last headers count: those before may be the submitter's own (R38)."""
    headers = (("reason", b"mine"), ("reason", b"MALFORMED"), ("reason-detail", b"{"))
    Printer(as_json=as_json).rejected(letter(*headers))
    out = capsys.readouterr().out
    if as_json:
        facts = json.loads(out)
        assert (facts["rejected"], facts["plan_id"]) == ("MALFORMED", PLAN)
        assert (facts["topic"], facts["partition"], facts["offset"]) == (
            "p.rejected",
            1,
            7,
        )
    else:
        assert out == f"rejected  {PLAN}  MALFORMED: {{  (p.rejected-1@7)\n"


def test_a_strangers_record_among_the_dead_letters_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Headers may have no value, and may be missing."""
    for stray in (letter(("reason", None), ("reason-detail", None)), letter()):
        Printer(as_json=False).rejected(stray)
        assert capsys.readouterr().out.startswith(f"rejected  {PLAN}")


def test_a_dead_letters_key_stays_in_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It may be anything at all."""
    odd = Rejected("p.rejected", 1, 7, 2_000, (), b"\x1b[2J\n\xff", None)
    Printer(as_json=False).rejected(odd)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("start", 0),
        ("90s", 910_000),
        ("10m", 400_000),
        ("1234", 1234),
    ],
)
def test_moments_are_spans_or_instants(text: str | None, expected: int | None) -> None:
    """Spans count back from now."""
    assert instant(text, now=1_000_000) == expected


def test_an_outcome_tells_more_than_one_that_did_not_come() -> None:
    """The exit code of many plans is one."""
    ok, bad, late = ExitCode.OK, ExitCode.NOT_SUCCESS, ExitCode.NO_RESULT
    assert worst([]) is worst([ok]) is ok
    assert worst([ok, late]) is late
    assert worst([late, ok, bad]) is bad
