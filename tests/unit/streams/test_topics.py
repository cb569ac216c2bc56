import pytest

from schemas.context import PlanSubmission
from schemas.results import PlanResult, Status
from schemas.steps import (
    ChildEnded,
    StepFailed,
    StepRequest,
    StepStarted,
    StepSucceeded,
    StepWarned,
)
from streams.config import Settings
from streams.topics import Key, Requirement, Rule, Topic, Topics


def topics(**overrides: object) -> Topics:
    """Make the topics of some settings."""
    return Topics.of(Settings.load(prefix="p.", **overrides))


def configured(topic: Topic, name: str) -> str:
    """Give the value of a configuration entry."""
    (value,) = (each.value for each in topic.requirements if each.name == name)
    return value


def test_names_and_keys_are_those_of_the_table() -> None:
    """Other programs know the topics by these names."""
    assert {topic.name: topic.key for topic in topics().all()} == {
        "p.plans": Key.PLAN_ID,
        "p.step-requests.default": Key.STEP_ID,
        "p.step-outcomes": Key.PLAN_ID,
        "p.commands": Key.PLAN_ID,
        "p.halts": Key.PLAN_ID,
        "p.results.success": Key.PLAN_ID,
        "p.results.partial": Key.PLAN_ID,
        "p.results.failure": Key.PLAN_ID,
        "p.results.failure.rejected": Key.AS_RECEIVED,
        "p.audit": Key.PLAN_ID,
        "p.events": Key.PLAN_ID,
        "p.rejected": Key.AS_RECEIVED,
        "p.questions": Key.QUESTION_ID,
        "p.answers": Key.REPLY_ID,
        "p.coordinator-state-changelog": Key.TABLE_ROW,
    }


def test_values_stand_beside_the_names() -> None:
    """A topic's models are found where its name is."""
    found = topics()
    assert found.plans.values == (PlanSubmission,)
    assert set(found.step_outcomes.values) == {
        StepStarted,
        StepSucceeded,
        StepFailed,
        StepWarned,
        ChildEnded,
    }
    assert found.requests["default"].values == (StepRequest,)
    assert all(topic.values == (PlanResult,) for topic in found.results)


def test_the_coordinators_topics_have_the_same_partitions() -> None:
    """A plan's records and its state are in partitions of one number."""
    found = topics(partitions=5, request_partitions=12)
    counts = {topic.name: topic.partitions for topic in found.all()}
    assert counts.pop("p.halts") == 1
    assert counts.pop("p.step-requests.default") == 12
    assert set(counts.values()) == {5}


def test_every_queue_of_routes_and_workers_has_a_topic() -> None:
    """A step must not be requested on a topic that is not there."""
    found = topics(routes={"render": "gpu"}, queues=("mail",))
    assert set(found.requests) == {"default", "gpu", "mail"}
    assert found.requests["gpu"].name == "p.step-requests.gpu"


@pytest.mark.parametrize("status", list(Status))
def test_a_result_goes_to_the_topic_of_its_status(status: Status) -> None:
    """Whether the status comes as text or as a member."""
    assert topics().result(status).name == f"p.results.{status.value}"
    assert topics().result(status.value).name == f"p.results.{status.value}"


def test_the_changelog_is_compacted_and_nothing_else_is() -> None:
    """Compaction of any other topic would drop records."""
    policies = {
        each.name: configured(each, "cleanup.policy") for each in topics().all()
    }
    assert policies.pop("p.coordinator-state-changelog") == "compact"
    assert set(policies.values()) == {"delete"}


def test_a_topic_takes_a_record_of_the_largest_size_and_what_frames_it() -> None:
    """That a record is too large is ours to say, not Kafka's."""
    for topic in topics(max_record_bytes=9_000_000).all():
        assert int(configured(topic, "max.message.bytes")) >= 9_000_000 + 1_000


@pytest.mark.parametrize(
    ("rule", "needed", "found", "met"),
    [
        (Rule.EXACTLY, "delete", "delete", True),
        (Rule.EXACTLY, "delete", "compact,delete", False),
        (Rule.AT_LEAST, "100", "100", True),
        (Rule.AT_LEAST, "100", "99", False),
        (Rule.AT_LEAST, "100", "-1", True),
        (Rule.AT_MOST, "100", "101", False),
        (Rule.AT_MOST, "100", "-1", False),
        (Rule.AT_MOST, "100", "7", True),
        (Rule.FREE, "100", "7", True),
    ],
)
def test_a_requirement_is_met_or_not(
    rule: Rule, needed: str, found: str, met: bool
) -> None:
    """-1 is without limit, as Kafka has it."""
    assert Requirement("retention.ms", needed, rule).met_by(found) is met
