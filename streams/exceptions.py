"""What planstream raises, each error with the facts of its case.

```text
PlanstreamError
├── SettingsError          a setting is wrong                    (lines)
├── FileUnreadable         a file cannot be opened or read       (file, reason)
├── BrokerUnreachable      no broker answers                     (broker, reason)
├── BrokerNotStarted       the embedded broker does not start
├── TopicsDoNotFit         topics are missing, or not as needed  (mismatches)
├── StillRunning           a group has members                   (group, members)
├── NoSuchMember           a group lacks a static member         (group, member)
├── InvalidPlan            a submission breaks the contract      (violations)
├── SubmissionRefused      the broker did not take a submission  (plan_id, reason)
├── PlanRejected           a plan became a dead letter           (plan_id, letter)
├── ResultTimeout          no result arrived in time             (plan_id, timeout)
├── ResultsLost            the reader of results has failed      (reason)
├── NotAsked               a question was not taken, or no answer read (reason)
└── ClientStopped          the client is not running
```
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.validation import Violation
    from streams.bootstrap import Mismatch
    from streams.results import Rejected

SHOWN = 10
"""How many violations a message lists: a plan of 1024 steps can have thousands."""


class PlanstreamError(Exception):
    """The base of everything that planstream raises on purpose."""


class SettingsError(PlanstreamError):
    """A setting is wrong: one line for each, with the variable's name."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class FileUnreadable(PlanstreamError):
    """A file cannot be opened or read."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class BrokerUnreachable(PlanstreamError):
    """No broker answers at the addresses of the settings."""

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(f"no Kafka broker answers at {broker} ({reason})")
        self.broker = broker
        self.reason = reason


class BrokerNotStarted(PlanstreamError):
    """The embedded broker does not start."""


class TopicsDoNotFit(PlanstreamError):
    """Topics are missing, or are not as planstream needs them."""

    def __init__(self, mismatches: Sequence["Mismatch"]) -> None:
        super().__init__("\n".join(str(mismatch) for mismatch in mismatches))
        self.mismatches = tuple(mismatches)


class StillRunning(PlanstreamError):
    """A group has members while something is done that they would not notice."""

    def __init__(self, group: str, members: Sequence[str]) -> None:
        super().__init__(
            f"the group {group} has members: {', '.join(members)}\n"
            "stop them; one that was stopped is a member until its session expires, "
            "or until `planstream leave` removes it"
        )
        self.group = group
        self.members = tuple(members)


class NoSuchMember(PlanstreamError):
    """A group has no static member of a name."""

    def __init__(self, group: str, member: str, present: Sequence[str]) -> None:
        there = ", ".join(present) or "none"
        super().__init__(
            f"the group {group} has no static member {member!r}; its members: {there}"
        )
        self.group = group
        self.member = member


class InvalidPlan(PlanstreamError):
    """A submission breaks the contract; all violations are listed (R35)."""

    def __init__(self, violations: Sequence["Violation"]) -> None:
        lines = [f"{each.path}: {each.message}" for each in violations[:SHOWN]]
        if len(violations) > SHOWN:
            lines.append(f"… and {len(violations) - SHOWN} more")
        super().__init__("\n".join(lines))
        self.violations = tuple(violations)


class SubmissionRefused(PlanstreamError):
    """A submission was not acknowledged; if the broker timed out, it may lie there."""

    def __init__(self, plan_id: str | None, reason: str) -> None:
        what = "it was not sent" if plan_id is None else f"plan {plan_id} was not taken"
        super().__init__(f"{what}: {reason}")
        self.plan_id = plan_id
        self.reason = reason


class PlanRejected(PlanstreamError):
    """A plan became a dead letter: it has no result, and will have none (R38)."""

    def __init__(self, plan_id: str, letter: "Rejected") -> None:
        super().__init__(f"plan {plan_id}: {letter.reason}: {letter.detail}")
        self.plan_id = plan_id
        self.letter = letter


class ResultTimeout(PlanstreamError, TimeoutError):
    """No result arrived in the time that the caller wanted to wait."""

    def __init__(self, plan_id: str, timeout: float) -> None:
        super().__init__(f"no result of plan {plan_id} within {timeout:g} s")
        self.plan_id = plan_id
        self.timeout = timeout


class ResultsLost(PlanstreamError):
    """The reader of results has failed: nobody will be told of any result."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"results can no longer be read: {reason}")
        self.reason = reason


class NotAsked(PlanstreamError):
    """A question could not be put, or its answers not be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"nobody could be asked: {reason}")
        self.reason = reason


class ReplayEnded(PlanstreamError):
    """A replay of dead letters cannot go on; what it has not said was not submitted."""

    def __init__(self, reason: str) -> None:
        """State the fact."""
        self.reason = reason
        super().__init__(f"the replay has ended early: {reason}")


class ClientStopped(PlanstreamError):
    """The client has not been started, or has been stopped."""
