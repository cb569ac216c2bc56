"""What becomes of a step whose attempt failed (§1.1, §4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from schemas.errors import ExecutionError, Severity
from schemas.plan import OnFailure, RetryPolicy


class Verdict(Enum):
    """What a failed attempt means for its step and its plan."""

    RETRY = "try again"
    GIVE_UP = "the step failed, the plan goes on"
    SKIP = "the step is passed over, the plan goes on"
    HALT = "the plan fails because a step with the policy halt failed"
    ABORT = "the error is fatal: it is the plan's"


VERDICTS: Final[Mapping[tuple[OnFailure, bool], Verdict]] = {
    (OnFailure.RETRY, True): Verdict.RETRY,
    (OnFailure.RETRY, False): Verdict.GIVE_UP,
    (OnFailure.SKIP, True): Verdict.SKIP,
    (OnFailure.SKIP, False): Verdict.SKIP,
    (OnFailure.HALT, True): Verdict.HALT,
    (OnFailure.HALT, False): Verdict.HALT,
}
"""Policy, and whether the retry policy allows another attempt (rules 1–4 of §4)."""


@dataclass(frozen=True, slots=True)
class RetryTerms:
    """A plan's retry policy, as decisions need it."""

    max_attempts: int = 1
    backoff_ms: int = 0
    multiplier: float = 1.0
    max_backoff_ms: int = 60_000
    codes: frozenset[str] = frozenset()

    def allows(self, code: str, attempt: int) -> bool:
        """Whether an attempt after `attempt`, which failed with `code`, is due (R7)."""
        return attempt < self.max_attempts and code in self.codes

    def delay_before(self, attempt: int) -> int:
        """Milliseconds from the failure to attempt `attempt` (≥ 2), floored (R31)."""
        if self.backoff_ms == 0:
            return 0
        if self.multiplier == 1.0:
            return min(self.backoff_ms, self.max_backoff_ms)
        try:
            delay = self.backoff_ms * self.multiplier ** (attempt - 2)
        except OverflowError:
            return self.max_backoff_ms
        return int(min(delay, self.max_backoff_ms))


DEFAULT_RETRY: Final = RetryTerms()
"""Shared by all plans that say nothing about retries: they are many."""
_DEFAULTS: Final = (
    DEFAULT_RETRY.max_attempts,
    DEFAULT_RETRY.backoff_ms,
    DEFAULT_RETRY.multiplier,
    DEFAULT_RETRY.max_backoff_ms,
)


def retry_terms(policy: Mapping[str, Any] | RetryPolicy | None) -> RetryTerms:
    """The terms of a retry policy; what is absent has its default (§1.1)."""
    if isinstance(policy, RetryPolicy):
        return _shared(policy.__dict__)
    return _shared(policy or {})


def _shared(fields: Mapping[str, Any]) -> RetryTerms:
    codes: Iterable[str] = fields.get("retryable_error_codes", ())
    values = (
        fields.get("max_attempts", DEFAULT_RETRY.max_attempts),
        fields.get("backoff_ms", DEFAULT_RETRY.backoff_ms),
        fields.get("backoff_multiplier", DEFAULT_RETRY.multiplier),
        fields.get("max_backoff_ms", DEFAULT_RETRY.max_backoff_ms),
    )
    if not codes and values == _DEFAULTS:
        return DEFAULT_RETRY
    return RetryTerms(*values, frozenset(codes))


def verdict(
    policy: OnFailure, retry: RetryTerms, attempt: int, error: ExecutionError
) -> Verdict:
    """What the failure of `attempt` with `error` means (§4)."""
    if error.severity is Severity.FATAL:
        return Verdict.ABORT
    return VERDICTS[policy, retry.allows(error.error_code, attempt)]
