"""What `planstream schemas export` and `planstream asyncapi` say (U4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastavro.schema import parse_schema
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from agents.dead_letters import reason_headers
from agents.effects import Headers
from schemas.avro_format import header_for, header_of
from schemas.headers import result_headers
from streams.asyncapi import document
from streams.cli import app
from streams.config import Settings
from streams.published import avro_schema, headers_of, published_models
from streams.topics import Rule, Topics

OFFICIAL = Path(__file__).parents[2] / "data" / "asyncapi" / "3.0.0.json"
SETTINGS = Settings.load(prefix="p.", routes={"render": "gpu"}, partitions=3)
TOPICS = Topics.of(SETTINGS)
MODELS = published_models(TOPICS)


@pytest.fixture(scope="module")
def described() -> Any:
    """The document, as a reader of its JSON has it."""
    return json.loads(json.dumps(document(SETTINGS)))


def resolved(whole: Any, reference: str) -> Any:
    """What a reference within a document leads to."""
    found = whole
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(value: Any) -> list[str]:
    """All references in a document."""
    if isinstance(value, list):
        return [each for item in value for each in references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return own + [each for item in value.values() for each in references(item)]


class TestExport:
    def test_every_record_has_both_schemas(self, tmp_path: Path) -> None:
        """U4: one file each, whole, and what is said is where they are."""
        said = CliRunner().invoke(app, ["schemas", "export", str(tmp_path)])

        assert said.exit_code == 0
        written = {path for path in tmp_path.rglob("*") if path.is_file()}
        assert {Path(line) for line in said.output.splitlines()} == written
        names = {path.name for path in written}
        assert names >= {f"planstream.{model.__name__}.avsc" for model in MODELS}
        assert names >= {f"{model.__name__}.schema.json" for model in MODELS}

    def test_json_schemas_are_schemas(self, tmp_path: Path) -> None:
        """Each file stands alone, by the draft that it names."""
        CliRunner().invoke(app, ["schemas", "export", str(tmp_path)])

        for path in (tmp_path / "json").iterdir():
            schema = json.loads(path.read_text("utf-8"))
            Draft7Validator.check_schema(schema)
            assert all(resolved(schema, each) for each in references(schema))

    @pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
    def test_an_avro_schema_stands_alone(self, model: Any) -> None:
        """U4: parsed by itself it has the fingerprint that records begin with."""
        schema = json.loads(json.dumps(avro_schema(model)))

        parsed: Any = parse_schema(schema)
        assert header_for(parsed) == header_of(model)


class Letter:
    topic, partition, offset, timestamp = "p.plans", 1, 2, 3
    key = value = None
    headers: Headers = ()


def test_dead_letters_have_the_headers_that_are_published() -> None:
    """R38: names, order and values."""
    _, schema = headers_of(TOPICS)["rejected"]
    headers = reason_headers(Letter(), "MALFORMED", "is not UTF-8")
    texts = {name: value.decode() for name, value in headers}

    assert list(schema["properties"]) == list(texts)
    Draft7Validator(schema).validate(texts)
    assert not Draft7Validator(schema).is_valid({**texts, "reason": "DULL"})


def test_results_have_the_headers_that_are_published() -> None:
    """R41: ids, status, and whatever a correlation context brings."""
    ids = {"execution_id": "00000000-0000-4000-8000-000000000001", "status": "partial"}
    schema = Draft7Validator(result_headers())

    assert schema.is_valid({**ids, "trace": "abc"})
    assert not schema.is_valid({**ids, "status": "done"})
    assert not schema.is_valid({"status": "partial"})


class TestAsyncApi:
    def test_it_follows_the_official_schema(self, described: Any) -> None:
        """U4: AsyncAPI's own JSON Schema of 3.0.0 finds nothing wrong."""
        official = Draft7Validator(json.loads(OFFICIAL.read_text("utf-8")))

        assert [error.message for error in official.iter_errors(described)] == []
        assert not official.is_valid({**described, "channels": {"plans": 1}})

    def test_references_lead_somewhere(self, described: Any) -> None:
        """In messages, payloads and operations."""
        found = references(described)

        assert found
        assert all(resolved(described, each) for each in found)

    def test_every_topic_is_a_channel_that_somebody_uses(self, described: Any) -> None:
        """U4: with its name, its partitions, and what is set on it."""
        channels = described["channels"]
        used = {
            each["channel"]["$ref"].removeprefix("#/channels/")
            for each in described["operations"].values()
        }

        assert {each["address"] for each in channels.values()} == {
            topic.name for topic in TOPICS.all()
        }
        assert used == set(channels)
        assert channels["step-requests.gpu"]["bindings"]["kafka"]["partitions"] == 3

    def test_retention_and_compaction_are_those_of_the_topics(
        self, described: Any
    ) -> None:
        """U4: the bindings say what `topics create` sets and `topics check` wants."""
        for topic in TOPICS.all():
            name = topic.name.removeprefix("p.")
            kafka = described["channels"][name]["bindings"]["kafka"]
            for each in topic.requirements:
                said = kafka["topicConfiguration"][each.name]
                said = ",".join(said) if isinstance(said, list) else str(said)
                assert said == each.value
                bound = kafka["x-planstream-rules"].get(each.name)
                assert bound == (None if each.rule is Rule.FREE else str(each.rule))

    def test_both_formats_are_described(self, described: Any) -> None:
        """U4: each kind of record as Avro and as JSON, keyed and with headers."""
        messages = described["components"]["messages"]
        avro, text = messages["PlanResult.avro"], messages["PlanResult.json"]

        assert avro["payload"]["schema"]["name"] == "PlanResult"
        assert text["payload"] == {"$ref": "#/components/schemas/PlanResult"}
        assert "execution_id" in avro["headers"]["properties"]
        assert "pattern" in avro["bindings"]["kafka"]["key"]

    def test_the_command_prints_it(self) -> None:
        """As JSON, by the settings given."""
        said = CliRunner().invoke(app, ["asyncapi", "--prefix", "orders."])

        assert said.exit_code == 0
        channels = json.loads(said.output)["channels"]
        assert channels["plans"]["address"] == "orders.plans"

    def test_secure_brokers_are_said_to_be(self) -> None:
        """Each broker is a server; the protocol says whether it is encrypted."""
        settings = Settings.load(broker="a:1,b:2", security_protocol="SSL")
        servers = document(settings)["servers"]

        assert [each["host"] for each in servers.values()] == ["a:1", "b:2"]
        assert {each["protocol"] for each in servers.values()} == {"kafka-secure"}
