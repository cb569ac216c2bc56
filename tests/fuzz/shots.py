"""Records to throw at a coordinator: submissions and outcomes, hale and mutated."""

from __future__ import annotations

import json
import random
import uuid
from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from agents.nested import PARENT
from schemas import codec
from schemas.codec import DecodeError, Format
from schemas.context import PlanSubmission
from schemas.record import Record
from schemas.steps import (
    ChildEnded,
    ParentReference,
    StepFailed,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from schemas.validation import identify, peek_ids, validate
from tests.fuzz.mutations import change, damage, nest
from tests.integration.plans import diamond, now_ms, step, submission

NUMBER = "fuzz"
"""The header that says which record it was; dead letters keep it."""
LONGEST_MS = 10_000
"""A mutant that may rightly stay open for longer is not thrown."""
RECENT = 300
LARGEST = 6_000_000
"""What topics take, with room for headers: else a producer would be refused."""
MAX_SUBMISSION_BYTES = 1_048_576
"""The setting's default; what is larger is refused without a closer look."""
OUTCOMES: tuple[type[Record], ...] = (
    *(StepStarted, StepSucceeded, StepFailed, StepWarned, ChildEnded),
)


@dataclass(frozen=True)
class Shot:
    """A record that is thrown."""

    number: int
    topic: str
    """Without the prefix."""
    value: bytes | None
    key: bytes | None
    partition: int | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def plan_id(self) -> str | None:
        """The plan that it submits, if one can tell."""
        try:
            ids = identify(codec.decode_fields(self.value, PlanSubmission)[1])
        except DecodeError:
            ids = peek_ids(self.value)
        return None if ids is None else ids.plan_id


class Shooter:
    """Draws records from a seed, but for ids and times, which are new."""

    def __init__(self, seed: int, partitions: int) -> None:
        self._dice = random.Random(seed)
        self._partitions = partitions
        self._count = 0
        self._submitted: deque[Shot] = deque(maxlen=RECENT)
        self._hale: deque[dict[str, Any]] = deque(maxlen=RECENT)

    def shoot(self) -> Shot:
        """The next record."""
        self._count += 1
        if self._dice.random() < 0.5 or not self._hale:
            shot = self._submission()
            self._submitted.append(shot)
            return shot
        return self._outcome()

    # -- submissions

    def _submission(self) -> Shot:
        if self._submitted and self._dice.random() < 0.1:
            again = self._dice.choice(self._submitted)
            return self._shot("plans", again.value, again.plan_id)
        made = self._plan()
        plan_id = made["plan"]["id"]
        if self._dice.random() < 0.2:
            self._hale.append(deepcopy(made))
            return self._shot("plans", json.dumps(made).encode(), plan_id)
        value = self._mutated(made, (PlanSubmission,), _avro_fields)
        if _may_linger(value):
            value = b"{" + value
        headers = self._parent() if self._dice.random() < 0.05 else []
        return self._shot("plans", value, plan_id, headers)

    def _plan(self) -> dict[str, Any]:
        policy = {"max_attempts": 2, "retryable_error_codes": ["BROKEN"]}
        kinds: tuple[Callable[[], list[dict[str, Any]]], ...] = (
            lambda: [step("echo", {"a": [1, {"b": None}]})],
            lambda: [step("sleep", {"ms": self._dice.randint(0, 400)})],
            lambda: [step("fail", on_failure="retry"), step("echo")],
            lambda: [step("fail", on_failure="skip"), step("echo")],
            lambda: [step("fail", {"severity": "fatal"})],
            diamond,
            lambda: [step("execute_plan", {"plan": {}, "environment": {}})],
        )
        return submission(
            *self._dice.choice(kinds)(),
            timeout_ms=5_000,
            retry_policy=policy,
            metadata={},
            tags=["a"],
            members={"correlation_context": {"trace": "1"}, "user_id": "u"},
        )

    def _parent(self) -> list[tuple[str, bytes]]:
        fields = {
            "plan_id": str(uuid.uuid4()),
            "execution_id": str(uuid.uuid4()),
            "step_id": str(uuid.uuid4()),
            "step_number": 0,
            "attempt": 1,
            "start_id": "s",
            "depth": self._dice.choice([1, 8, 9, 2**40]),
        }
        value = codec.encode_fields(ParentReference, fields)
        return [(PARENT, self._dice.choice([value, damage(self._dice, value), b""]))]

    # -- outcomes

    def _outcome(self) -> Shot:
        about = self._dice.choice(self._hale)
        number = self._dice.randrange(len(about["plan"]["steps"]))
        model = self._dice.choice(OUTCOMES)
        fields = {
            "plan_id": about["plan"]["id"],
            "execution_id": about["execution_id"],
            "step_id": about["plan"]["steps"][number]["id"],
            "step_number": number,
            "attempt": self._dice.choice([1, 1, 1, 2, 3]),
            **self._of_kind(model),
        }
        if self._dice.random() < 0.15:
            value = codec.encode_fields(model, _texts(fields), Format.JSON)
        else:
            value = self._mutated(
                {"type": model.__name__, **fields}, (model,), _outcome_fields
            )
        return self._shot("step-outcomes", value, about["plan"]["id"])

    def _of_kind(self, model: type[Record]) -> dict[str, Any]:
        now = now_ms()
        ended = {"worker": "w", "started_at": now, "ended_at": now}
        error = {
            "error_code": self._dice.choice(["BROKEN", "OTHER", "STEP_TIMEOUT"]),
            "message": "m",
            "step_id": None,
            "severity": "error",
            "recoverable": True,
            "cause": None,
            "context": {"a": 1},
        }
        kinds: dict[type[Record], dict[str, Any]] = {
            StepStarted: {
                "worker": "w",
                "start_id": self._dice.choice(["1", "2", "3"]),
                "started_at": now,
                "elapsed_ms": 0,
                "child_plan_id": None,
            },
            StepSucceeded: {**ended, "result": {"of": "a stranger"}},
            StepFailed: {**ended, "error": error},
            StepWarned: {"code": "C", "message": "m", "at": now},
            ChildEnded: {
                "child_plan_id": str(uuid.uuid4()),
                "start_id": "1",
                "result": None,
                "error": error,
            },
        }
        return kinds[model]

    # -- mutants

    def _mutated(
        self,
        value: dict[str, Any],
        models: tuple[type[Record]],
        avro: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> bytes:
        dice = self._dice
        for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
            change(dice, value)
        data = self._written(value, models[0], avro)
        return damage(dice, data) if dice.random() < 0.25 else data

    def _written(
        self,
        value: dict[str, Any],
        model: type[Record],
        avro: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> bytes:
        if self._dice.random() < 0.5:
            # What has no form in Avro is thrown as JSON.
            try:
                return codec.encode_fields(model, avro(value))
            except Exception:  # noqa: BLE001 - whatever a mutant makes of an encoder
                pass
        text = json.dumps(value, ensure_ascii=self._dice.random() < 0.5)
        if self._dice.random() < 0.02:
            text = nest(self._dice, text)
        return text.encode(errors="surrogatepass")

    def _shot(
        self,
        topic: str,
        value: bytes | None,
        plan_id: str | None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> Shot:
        dice, key = self._dice, (plan_id or "").encode()
        if dice.random() < 0.1:
            key = dice.choice([b"", b"x", dice.randbytes(16), uuid.uuid4().bytes])
        if dice.random() < 0.005:
            value = dice.choice([b"", b"\x00\x00\x00\x00\x01", b"\xc3\x01", None])
        if dice.random() < 0.002:
            value = b'{"a":"' + b"x" * 1_100_000 + b'"}'
        odd = [("", b""), ("é", dice.randbytes(9)), ("reason", b"MINE")]
        extra = [dice.choice(odd)] if dice.random() < 0.1 else []
        return Shot(
            self._count,
            topic,
            value and value[:LARGEST],
            # aiokafka sends no record that has neither.
            None if dice.random() < 0.03 and value is not None else key,
            dice.randrange(self._partitions) if dice.random() < 0.05 else None,
            [(NUMBER, b"%d" % self._count), *(headers or []), *extra],
        )


def _may_linger(value: bytes) -> bool:
    """Whether it is a plan that nothing ends soon: that would be right, and slow."""
    if len(value) > MAX_SUBMISSION_BYTES:
        return False
    try:
        fields = codec.decode_fields(value, PlanSubmission)[1]
    except DecodeError:
        return False
    plan = validate(fields)[0]
    if plan is None:
        return False
    return min(plan.plan.timeout_ms, plan.deadline_ms - now_ms()) > LONGEST_MS


def _texts(fields: dict[str, Any]) -> dict[str, Any]:
    return _outcome_fields({"type": "", **fields})


def _outcome_fields(value: dict[str, Any]) -> dict[str, Any]:
    """An outcome's fields for its encoder: opaque values as texts."""
    fields = deepcopy(value)
    fields.pop("type", None)
    if fields.get("result") is not None:
        fields["result"] = json.dumps(fields["result"])
    if isinstance(fields.get("error"), dict):
        fields["error"]["context"] = json.dumps(fields["error"]["context"])
    return fields


def _avro_fields(value: dict[str, Any]) -> dict[str, Any]:
    """A submission's fields for its encoder: all of them, opaque values as texts."""
    plan = value["plan"]
    policy = {"backoff_ms": 0, "backoff_multiplier": 1.0, "max_backoff_ms": 60_000}
    unset = {"on_failure": "halt", "timeout_ms": None}
    # New dicts: a step may stand in the list a thousand times.
    steps = [
        {**unset, **each, "payload": json.dumps(each["payload"])}
        for each in plan["steps"]
    ]
    changed = {
        "steps": steps,
        "metadata": json.dumps(plan["metadata"]),
        "retry_policy": {**policy, **plan["retry_policy"]},
    }
    environment = {
        name: json.dumps(each) for name, each in value["environment"].items()
    }
    return {
        "parent_execution_id": None,
        "request_id": None,
        **value,
        "plan": {"priority": 0, "estimated_duration_ms": None, **plan, **changed},
        "environment": environment,
    }
