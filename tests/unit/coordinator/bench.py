"""A coordinator's partition without a broker: fold records, look at what comes out."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.coordinator import CoordinatorTerms, PartitionState
from agents.deadlines import command_of
from agents.effects import Effects, Outgoing
from agents.partitioner import partition_of
from agents.tables import DEADLINES, PLANS, REGISTRY, STEPS, Tables
from schemas import codec
from schemas.errors import ExecutionError
from schemas.results import ExecutionAudit, PlanResult
from schemas.steps import StepFailed, StepRequest, StepStarted, StepSucceeded

PARTITIONS = 4
NOW = 1_800_000_000_000
PLANS_TOPIC, OUTCOMES_TOPIC, COMMANDS_TOPIC = "plans", "step-outcomes", "commands"


@dataclass(frozen=True)
class Source:
    """A consumed record."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = NOW


def new_id() -> str:
    return str(uuid.uuid4())


def submission(
    steps: list[dict[str, Any]], plan: dict[str, Any] | None = None, **context: Any
) -> dict[str, Any]:
    """A valid submission; steps get an action and a payload when they have none."""
    return {
        "plan": {
            "id": new_id(),
            "version": 1,
            "created_at": NOW,
            "name": "a plan",
            "context_requirements": ["where"],
            "timeout_ms": 60_000,
            "steps": [{"action": "do", "payload": {}, **step} for step in steps],
            **(plan or {}),
        },
        "execution_id": new_id(),
        "started_at": NOW,
        "deadline_ms": NOW + 600_000,
        "environment": {"where": "here"},
        **context,
    }


def steps(*needs: Sequence[int], **common: Any) -> list[dict[str, Any]]:
    """Steps by what each depends on, as places in the list."""
    names = [new_id() for _ in needs]
    return [
        {"id": name, "depends_on": [names[each] for each in needed], **common}
        for name, needed in zip(names, needs, strict=True)
    ]


class Bench:
    """One partition's state; every record gets the next offset of its topic."""

    def __init__(self, partition: int = 0, **terms: Any) -> None:
        self.terms = CoordinatorTerms(
            PLANS_TOPIC,
            OUTCOMES_TOPIC,
            COMMANDS_TOPIC,
            partition_of=lambda key: partition_of(key, PARTITIONS),
            **terms,
        )
        self.state = PartitionState(partition, self.terms)
        self.rows: dict[bytes, bytes] = {}
        self.now = NOW
        self._offsets: dict[str, int] = {}

    # -- folding

    def fold(self, topic: str, value: bytes | None, **fields: Any) -> Effects:
        """Fold a record with this value; what it wants done."""
        offset = self._offsets.get(topic, 0)
        self._offsets[topic] = offset + 1
        record = Source(topic, self.state.partition, offset, value, **fields)
        self.state.advance(self.now)
        self.state.fold(record, self.now)
        self._take_rows()
        return self.state.take_effects()

    def admit(self, plan: dict[str, Any], **fields: Any) -> Effects:
        """Fold a submission, whose plan id is made one of this partition's."""
        self.rehome(plan)
        return self.fold(PLANS_TOPIC, json.dumps(plan).encode(), **fields)

    def rehome(self, plan: dict[str, Any]) -> None:
        """Give the plan an id that belongs to this partition."""
        while self.terms.partition_of(plan["plan"]["id"].encode()) != (
            self.state.partition
        ):
            plan["plan"]["id"] = new_id()

    def succeed(self, request: StepRequest, result: str = "null") -> Effects:
        """Answer a request."""
        fields = reference(request) | {
            "worker": "w",
            "started_at": self.now,
            "ended_at": self.now,
            "result": result,
        }
        value = codec.encode_fields(StepSucceeded, fields)
        return self.fold(OUTCOMES_TOPIC, value)

    def fail(self, request: StepRequest, error: ExecutionError) -> Effects:
        """Answer a request with an error."""
        fields = reference(request) | {
            "worker": "w",
            "started_at": self.now,
            "ended_at": self.now,
            "error": error,
        }
        return self.fold(OUTCOMES_TOPIC, codec.encode_fields(StepFailed, fields))

    def announce(self, request: StepRequest, start_id: str) -> Effects:
        """Announce the start of an attempt."""
        fields = reference(request) | {
            "worker": "w",
            "start_id": start_id,
            "started_at": self.now,
            "elapsed_ms": 0,
            "child_plan_id": None,
        }
        return self.fold(OUTCOMES_TOPIC, codec.encode_fields(StepStarted, fields))

    def fire_due(self) -> list[Effects]:
        """Fold the commands of all that is due now."""
        due = self.state.deadlines.take_due(self.now)
        commands = [command_of(self.state, key, deadline) for key, deadline in due]
        return [
            self.fold(COMMANDS_TOPIC, command.value) for command in commands if command
        ]

    def restart(self) -> None:
        """Lose everything but the changelog's rows, as a new owner would find it."""
        self.state = PartitionState(self.state.partition, self.terms)
        for key, value in self.rows.items():
            self.state.tables.load(key, value)
        self.state.deadlines.rebuild()

    def _take_rows(self) -> None:
        for key, value in self.state.tables.take_changes().items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value

    # -- looking

    @property
    def tables(self) -> Tables:
        return self.state.tables

    def live(self) -> dict[str, int]:
        """How many rows each table has in the changelog."""
        letters = {
            "plans": PLANS,
            "steps": STEPS,
            "deadlines": DEADLINES,
            "registry": REGISTRY,
        }
        counts = {
            name: sum(key[:1] == letter for key in self.rows)
            for name, letter in letters.items()
        }
        return {name: count for name, count in counts.items() if count}


def reference(request: StepRequest) -> dict[str, Any]:
    """The fields with which an outcome names its attempt."""
    return {
        "plan_id": request.plan_id,
        "execution_id": request.execution_id,
        "step_id": request.step_id,
        "step_number": request.step_number,
        "attempt": request.attempt,
    }


def requests(effects: Effects) -> list[StepRequest]:
    """The step requests that a fold sends."""
    return [codec.decode(each.value, StepRequest) for each in effects.requests]


def sent_to(effects: Effects, topic: str) -> list[Outgoing]:
    """The records that a fold sends to a topic, in its transaction."""
    return [record for record in effects.records if record.topic == topic]


def result(effects: Effects) -> PlanResult:
    """The one result that a fold publishes."""
    (record,) = [each for each in effects.records if each.topic.startswith("results.")]
    return codec.decode(record.value, PlanResult)


def audit(effects: Effects) -> ExecutionAudit:
    """The one audit record that a fold publishes."""
    (record,) = sent_to(effects, "audit")
    return codec.decode(record.value, ExecutionAudit)
