"""Retry, skip, halt: exactly (§1.1, §4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.commands import ArmRetry, Disarm, RequestStep, SaveStep
from agents.core.retries import DEFAULT_RETRY, RetryTerms, Verdict, retry_terms, verdict
from agents.core.states import StepState
from schemas.errors import ErrorCode, Severity
from schemas.plan import OnFailure, RetryPolicy
from schemas.results import Status
from tests.unit.core.plans import FATAL, Run, error, retry, step, terms

LISTED, UNLISTED = "CARD_DECLINED", "NO_SUCH_CARD"
POLICY = RetryTerms(max_attempts=3, codes=frozenset({LISTED}))


@pytest.mark.parametrize("policy", OnFailure)
@pytest.mark.parametrize("code", [LISTED, UNLISTED])
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_fatal_error_fails_the_plan_whatever_the_policy(
    policy: OnFailure, code: str, attempt: int
) -> None:
    """§4: a `fatal` error fails the plan."""
    failure = error(code, severity=FATAL)
    assert verdict(policy, POLICY, attempt, failure) is Verdict.ABORT


@pytest.mark.parametrize(
    ("policy", "code", "attempt", "expected"),
    [
        (OnFailure.RETRY, LISTED, 1, Verdict.RETRY),
        (OnFailure.RETRY, LISTED, 2, Verdict.RETRY),
        (OnFailure.RETRY, LISTED, 3, Verdict.GIVE_UP),
        (OnFailure.RETRY, UNLISTED, 1, Verdict.GIVE_UP),
        (OnFailure.SKIP, LISTED, 1, Verdict.SKIP),
        (OnFailure.SKIP, UNLISTED, 3, Verdict.SKIP),
        (OnFailure.HALT, LISTED, 1, Verdict.HALT),
        (OnFailure.HALT, UNLISTED, 3, Verdict.HALT),
    ],
)
def test_rules_1_to_4(
    policy: OnFailure, code: str, attempt: int, expected: Verdict
) -> None:
    """§4, "Retry, skip, halt: exactly"."""
    assert verdict(policy, POLICY, attempt, error(code)) is expected


def test_no_code_is_retryable_by_default() -> None:
    """R7: `retryable_error_codes = []` means that nothing is retried."""
    many = RetryTerms(max_attempts=9)
    assert verdict(OnFailure.RETRY, many, 1, error()) is Verdict.GIVE_UP


def test_a_step_error_may_be_listed_like_any_code() -> None:
    """R6, R25."""
    policy = RetryTerms(max_attempts=2, codes=frozenset({"STEP_ERROR"}))
    assert verdict(OnFailure.RETRY, policy, 1, error("STEP_ERROR")) is Verdict.RETRY


@pytest.mark.parametrize(
    ("policy", "attempt", "delay_ms"),
    [
        (RetryTerms(backoff_ms=100), 2, 100),
        (RetryTerms(backoff_ms=100), 9, 100),
        (RetryTerms(backoff_ms=100, multiplier=2.0), 2, 100),
        (RetryTerms(backoff_ms=100, multiplier=2.0), 3, 200),
        (RetryTerms(backoff_ms=100, multiplier=2.0), 5, 800),
        (RetryTerms(backoff_ms=100, multiplier=2.0, max_backoff_ms=750), 5, 750),
        (RetryTerms(backoff_ms=100, max_backoff_ms=30), 2, 30),
        (RetryTerms(backoff_ms=100, max_backoff_ms=0), 2, 0),
        (RetryTerms(backoff_ms=3, multiplier=1.5), 4, 6),  # 6.75, floored
        (RetryTerms(), 2, 0),
        (RetryTerms(multiplier=1e300), 500, 0),
    ],
)
def test_the_delay_before_an_attempt(
    policy: RetryTerms, attempt: int, delay_ms: int
) -> None:
    """§1.1: min(backoff_ms × multiplier^(n−2), max_backoff_ms), floored (R31)."""
    assert policy.delay_before(attempt) == delay_ms


def test_huge_multipliers_saturate() -> None:
    """R31: 1e300³ is the cap, never an overflow."""
    policy = RetryTerms(backoff_ms=2**62, multiplier=1e300)
    assert [policy.delay_before(n) for n in (2, 3, 4, 5, 10**9)] == [60_000] * 5


INT64 = 2**63 - 1


@given(
    st.integers(0, INT64),
    st.floats(1.0, allow_infinity=False, allow_nan=False),
    st.integers(0, INT64),
    st.integers(2, INT64),
)
def test_a_delay_is_always_a_number_of_ms_within_its_cap(
    backoff_ms: int, multiplier: float, max_backoff_ms: int, attempt: int
) -> None:
    """R31, for whatever policy is valid (§1.1)."""
    policy = RetryTerms(9, backoff_ms, multiplier, max_backoff_ms)
    delay_ms = policy.delay_before(attempt)
    assert isinstance(delay_ms, int)
    assert 0 <= delay_ms <= max_backoff_ms
    assert delay_ms >= min(int(backoff_ms * 0.999), max_backoff_ms)
    assert policy.delay_before(attempt + 1) >= delay_ms


def test_terms_of_a_policy_keep_what_is_said_and_default_the_rest() -> None:
    """§1.1: absent members have their defaults; the same from model and fields."""
    fields = {"max_attempts": 4, "retryable_error_codes": ["A", "B"]}
    expected = RetryTerms(max_attempts=4, codes=frozenset({"A", "B"}))
    assert retry_terms(fields) == expected
    assert retry_terms(RetryPolicy.model_validate(fields)) == expected
    assert retry_terms(None) is DEFAULT_RETRY
    assert retry_terms({}) is DEFAULT_RETRY
    assert retry_terms(RetryPolicy()) is DEFAULT_RETRY


def test_a_retry_without_a_backoff_is_requested_at_once() -> None:
    """Rule 1 of §4, with a delay of 0."""
    run = Run(terms(step(0, on_failure="retry"), retry_policy=retry(2, LISTED)))
    assert run.fail(0) == [SaveStep(0), RequestStep(0, 2)]
    assert run.progress.step_state(0) is StepState.REQUESTED
    assert run.progress.attempt(0) == 2


def test_a_backoff_runs_from_the_folding_of_the_failure() -> None:
    """R31."""
    policy = retry(3, LISTED, backoff_ms=100, backoff_multiplier=3.0)
    run = Run(terms(step(0, on_failure="retry"), retry_policy=policy))
    assert run.fail(0) == [SaveStep(0), ArmRetry(0, 2, run.now + 100)]
    assert run.retry_fires(0, 2) == [Disarm(0), SaveStep(0), RequestStep(0, 2)]
    assert run.fail(0, attempt=2) == [SaveStep(0), ArmRetry(0, 3, run.now + 300)]


def test_a_backoff_past_the_end_of_time_can_still_be_stored() -> None:
    """Due times are 64 bit (R34), whatever the policy says."""
    policy = retry(2, LISTED, backoff_ms=INT64, max_backoff_ms=INT64)
    run = Run(terms(step(0, on_failure="retry"), retry_policy=policy))
    assert run.fail(0) == [SaveStep(0), ArmRetry(0, 2, INT64)]


def test_attempts_are_counted_per_step() -> None:
    """§1.1: `max_attempts` is the total of attempts per step."""
    steps = [step(n, on_failure="retry") for n in range(2)]
    run = Run(terms(*steps, retry_policy=retry(2, LISTED)))
    run.fail(0)
    run.fail(1)
    run.fail(0, attempt=2)
    assert run.requested() == [(0, 1), (1, 1), (0, 2), (1, 2)]
    assert run.progress.step_state(0) is StepState.FAILED
    run.succeed(1, attempt=2)
    assert run.result.status is Status.PARTIAL


def test_a_step_that_succeeds_at_last_leaves_no_error() -> None:
    """§5.1: all steps completed, no error."""
    run = Run(terms(step(0, on_failure="retry"), retry_policy=retry(2, LISTED)))
    run.fail(0)
    run.succeed(0, attempt=2)
    assert run.result.status is Status.SUCCESS
    assert run.result.error is None


@pytest.mark.parametrize("policy", OnFailure)
@pytest.mark.parametrize("is_listed", [True, False])
def test_a_step_timeout_is_an_error_only_when_it_is_listed(
    policy: OnFailure, is_listed: bool
) -> None:
    """R4, whatever the step agent says of its severity; retry, skip, halt apply."""
    codes = ["STEP_TIMEOUT"] if is_listed else [LISTED]
    for reported in (Severity.ERROR, Severity.FATAL):
        plan = terms(step(0, on_failure=policy), step(1), retry_policy=retry(1, *codes))
        run = Run(plan)
        run.fail(0, error(ErrorCode.STEP_TIMEOUT, severity=reported))
        if not is_listed:
            assert run.failure.error_code == "STEP_TIMEOUT"
            assert run.failure.severity is Severity.FATAL
        elif policy is OnFailure.HALT:
            assert run.failure.cause is not None
            assert run.failure.cause.severity is Severity.ERROR
        else:
            run.succeed(1)
            assert run.result.status is Status.PARTIAL
