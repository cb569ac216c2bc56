"""What a handler is told about the attempt it makes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Self

from agents.failures import check_code, printable
from agents.serialization import dump_json, load_json

LOGGER = "planstream.handlers"
_ANY_SIZE = 2**62

Warn = Callable[[str, str], None]


class Environment(Mapping[str, Any]):
    """The plan's environment: read only, this attempt's own copy (R28).

    A value is parsed when it is first asked for.
    """

    __slots__ = ("_texts", "_values")

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self._values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            self._values[name] = load_json(self._texts[name])
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, name: object) -> bool:
        return name in self._texts

    def __repr__(self) -> str:
        return f"<Environment with {', '.join(self._texts)}>"


class StepContext:
    """A handler's first argument: whose step this is, and how long it may take.

    Attributes:
        plan_id: The plan's id.
        execution_id: The execution's id.
        step_id: The step's id.
        action: The step's action.
        attempt: Which attempt this is, from 1. A redelivery after a crash keeps the
            number (R29).
        environment: The plan's environment, read only.
        user_id: As submitted, or None.
        request_id: As submitted, or None.
        correlation_context: As submitted, or an empty dict.
    """

    def __init__(
        self,
        fields: Mapping[str, Any],
        warn: Warn,
        seconds_left: Callable[[], float],
    ) -> None:
        self.plan_id: str = fields["plan_id"]
        self.execution_id: str = fields["execution_id"]
        self.step_id: str = fields["step_id"]
        self.action: str = fields["action"]
        self.attempt: int = fields["attempt"]
        self.environment: Mapping[str, Any] = Environment(fields["environment"])
        self.user_id: str | None = fields["user_id"]
        self.request_id: str | None = fields["request_id"]
        self.correlation_context: dict[str, str] = fields["correlation_context"] or {}
        self._warn = warn
        self._seconds_left = seconds_left

    @property
    def remaining(self) -> float:
        """Seconds until the step's or the plan's limit, whichever is nearer; never < 0.

        For the plan's limit this machine's clock is compared with the coordinator's.
        """
        return max(0.0, self._seconds_left())

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and every redelivery of this step.

        Hand it to the service you call, so that it does the work only once.
        """
        return f"{self.execution_id}:{self.step_id}"

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records have plan, execution, step and attempt as extras."""
        logger = logging.getLogger(f"{LOGGER}.{self.action}")
        return logging.LoggerAdapter(logger, log_extra(vars(self)))

    def warn(self, code: str, message: str = "") -> None:
        """Reports what is worth knowing without failing the step (R6).

        The warning goes into the execution's audit.

        Args:
            code: 1 … 50 characters, none of the reserved codes.
            message: What happened; cut at 1000 characters.

        Raises:
            ValueError: The code is none a handler may use.
        """
        check_code(code)
        self._warn(code, printable(str(message)))

    def __repr__(self) -> str:
        return f"<StepContext {self.action} {self.step_id} attempt {self.attempt}>"

    @classmethod
    def sample(
        cls, environment: Mapping[str, Any] | None = None, **fields: Any
    ) -> Self:
        """A context for the unit test of a handler.

            step = StepContext.sample({"region": "eu"}, attempt=2)
            assert await charge(step, Charge(card="1", cents=5)) == {…}

        Warnings are logged. Any attribute can be given by name.
        """
        texts = {n: dump_json(v, _ANY_SIZE) for n, v in (environment or {}).items()}
        deadline = time.monotonic() + fields.pop("remaining", 300.0)
        given = {**_SAMPLE, **fields, "environment": texts}
        return cls(given, _log_warning, lambda: deadline - time.monotonic())


def log_extra(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The ids that log records of an attempt carry."""
    names = ("plan_id", "execution_id", "step_id", "attempt")
    return {name: fields[name] for name in names}


def _log_warning(code: str, message: str) -> None:
    logging.getLogger(LOGGER).warning("%s: %s", code, message)


_SAMPLE: dict[str, Any] = {
    "plan_id": "00000000-0000-4000-8000-000000000001",
    "execution_id": "00000000-0000-4000-8000-000000000002",
    "step_id": "00000000-0000-4000-8000-000000000003",
    "action": "sample",
    "attempt": 1,
    "user_id": None,
    "request_id": None,
    "correlation_context": None,
}
