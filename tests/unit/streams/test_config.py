from pathlib import Path
from typing import Any

import pytest

from streams.config import Settings
from streams.exceptions import SettingsError


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the environment of whoever runs the tests out of them."""
    import os

    for name in list(os.environ):
        if name.startswith("PLANSTREAM_"):
            monkeypatch.delenv(name)


def lines_of(**overrides: Any) -> tuple[str, ...]:
    """Give the lines of the error that these settings end in."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(**overrides)
    return caught.value.lines


def test_the_defaults_are_those_of_the_design() -> None:
    """What the documents promise without any setting holds."""
    settings = Settings.load()
    assert settings.broker == "127.0.0.1:9092"
    assert settings.prefix == "planstream."
    assert (settings.partitions, settings.step_partitions) == (8, 8)
    assert settings.max_submission_bytes == 2**20
    assert settings.max_record_bytes == 8 * 2**20
    assert settings.max_step_result_bytes == 256 * 2**10
    assert settings.registry_retention_ms == 7 * 24 * 3600 * 1000
    assert (settings.session_timeout_ms, settings.heartbeat_interval_ms) == (
        10000,
        1000,
    )
    assert (settings.commit_interval_ms, settings.commit_rows) == (25, 1000)
    assert (settings.window, settings.concurrency, settings.max_deliveries) == (
        1000,
        64,
        3,
    )


def test_arguments_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Three values for one setting: the nearest to the user counts."""
    file = tmp_path / "planstream.toml"
    file.write_text("partitions = 3\nwindow = 30\nconcurrency = 300\n")
    monkeypatch.setenv("PLANSTREAM_PARTITIONS", "4")
    monkeypatch.setenv("PLANSTREAM_WINDOW", "40")
    settings = Settings.load(config=file, partitions=5)
    assert (settings.partitions, settings.window, settings.concurrency) == (5, 40, 300)


def test_the_environment_may_name_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PLANSTREAM_CONFIG is as good as --config; tables and lists are TOML's."""
    file = tmp_path / "planstream.toml"
    file.write_text('queues = ["mail", "mail"]\n[routes]\nsend-mail = "mail"\n')
    monkeypatch.setenv("PLANSTREAM_CONFIG", str(file))
    settings = Settings.load()
    assert settings.queues == ("mail",)
    assert settings.queue_of("send-mail") == "mail"
    assert settings.queue_of("charge-card") == "default"


def test_the_environment_writes_lists_with_commas(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A variable is plain text: a,b is a list, action=queue,… a table."""
    monkeypatch.setenv("PLANSTREAM_QUEUES", "mail, slow")
    monkeypatch.setenv("PLANSTREAM_ROUTES", "send-mail=mail,render=gpu")
    settings = Settings.load()
    assert settings.queues == ("mail", "slow")
    assert settings.routes == {"send-mail": "mail", "render": "gpu"}
    assert settings.all_queues() == ("default", "gpu", "mail", "slow")


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"partitions": 0}, "PLANSTREAM_PARTITIONS: input should be greater than 0"),
        ({"format": "xml"}, "PLANSTREAM_FORMAT: input should be 'avro' or 'json'"),
        ({"broker": "kafka"}, "PLANSTREAM_BROKER: 'kafka' is no host:port"),
        ({"broker": "a:1,b:70000"}, "PLANSTREAM_BROKER: 'b:70000' is no host:port"),
        ({"broker": ""}, "PLANSTREAM_BROKER: '' is no host:port"),
        (
            {"prefix": "a b"},
            "PLANSTREAM_PREFIX: only letters, digits, '.', '_' and '-', at most 100",
        ),
        ({"queues": ()}, "PLANSTREAM_QUEUES: a worker serves at least one queue"),
        ({"routes": {"a": ""}}, "PLANSTREAM_ROUTES[a]: a queue needs a name"),
        ({"routes": "a"}, "PLANSTREAM_ROUTES: write it as action=queue,action=queue"),
        (
            {"session_timeout_ms": 2000},
            "PLANSTREAM_HEARTBEAT_INTERVAL_MS: a session must outlast three heartbeats",
        ),
        (
            {"max_submission_bytes": 2**24},
            "PLANSTREAM_MAX_SUBMISSION_BYTES: must not be larger than max_record_bytes",
        ),
        (
            {"max_record_bytes": 2**20, "max_submission_bytes": 2**20},
            (
                "PLANSTREAM_MAX_RECORD_BYTES: "
                f"input should be greater than or equal to {4 * 2**20}"
            ),
        ),
        (
            {"security_protocol": "SASL_SSL"},
            "PLANSTREAM_SASL_USERNAME: SASL_SSL needs a user",
        ),
        ({"partitons": 8}, "PLANSTREAM_PARTITONS: there is no such setting"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    overrides: dict[str, Any], line: str
) -> None:
    """Whatever is wrong, the line begins with what is to be changed."""
    assert lines_of(**overrides) == (line,)


def test_all_wrong_values_are_told_at_once() -> None:
    """Nobody wants to find his mistakes one start at a time."""
    lines = lines_of(partitions="many", window=0, log_level="loud")
    names = {line.partition(":")[0] for line in lines}
    assert names == {
        "PLANSTREAM_PARTITIONS",
        "PLANSTREAM_WINDOW",
        "PLANSTREAM_LOG_LEVEL",
    }


def test_a_misspelt_variable_is_refused_with_what_may_be_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slip must not silently leave the default in place."""
    monkeypatch.setenv("PLANSTREAM_BROKERS", "kafka:9092")
    assert lines_of() == (
        "PLANSTREAM_BROKERS: there is no such setting; is PLANSTREAM_BROKER meant?",
    )


def test_variables_that_kubernetes_sets_are_let_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service called planstream puts these into every pod."""
    monkeypatch.setenv("PLANSTREAM_SERVICE_HOST", "10.0.0.7")
    monkeypatch.setenv("PLANSTREAM_PORT", "tcp://10.0.0.7:9092")
    monkeypatch.setenv("PLANSTREAM_PORT_9092_TCP_PROTO", "tcp")
    assert Settings.load().broker == "127.0.0.1:9092"


def test_a_file_that_is_not_there_or_no_toml_is_one_line(tmp_path: Path) -> None:
    """The line says which file, and why."""
    missing = tmp_path / "missing.toml"
    assert lines_of(config=missing) == (
        f"PLANSTREAM_CONFIG: {missing}: No such file or directory",
    )
    broken = tmp_path / "broken.toml"
    broken.write_text("partitions = = 3")
    (line,) = lines_of(config=broken)
    assert line.startswith(f"PLANSTREAM_CONFIG: {broken}: ")
    assert "line 1" in line


def test_settings_cannot_be_changed() -> None:
    """They are read once, and the same everywhere."""
    settings = Settings.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.partitions = 9  # type: ignore[misc]  # that is the point


def test_clients_are_told_how_to_connect() -> None:
    """A secured broker needs no more than settings; the password is not shown."""
    settings = Settings.load(
        broker="a:1, b:2",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password="secret",
    )
    assert settings.connection() == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
    }
    assert "secret" not in repr(settings)


def test_a_tls_connection_has_a_context() -> None:
    """Aiokafka does not make one of its own."""
    import ssl

    context = Settings.load(security_protocol="SSL").connection()["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_member_is_known_again_after_a_restart() -> None:
    """The id depends on host, role and slot alone, unless one is given."""
    settings = Settings.load()
    assert settings.instance_id("worker", "0") == settings.instance_id("worker", "0")
    assert settings.instance_id("worker", "0") != settings.instance_id("worker", "1")
    assert settings.instance_id("worker", "0") != settings.instance_id(
        "coordinator", "0"
    )
    named = Settings.load(name="blue")
    assert named.instance_id("worker", "0").endswith("-worker-blue")
    given = Settings.load(group_instance_id="pod-7")
    assert given.instance_id("worker", "0") == "pod-7"


def test_the_error_handler_has_a_table_of_its_own(tmp_path: Path) -> None:
    """U2: `[error_handler]` of the file is the settings `error_handler_…`."""
    file = tmp_path / "planstream.toml"
    file.write_text('[error_handler]\ncallable = "shop.alerts:tell"\ntimeout_ms = 5\n')
    settings = Settings.load(config=file)
    assert settings.error_handler_callable == "shop.alerts:tell"
    assert settings.error_handler_timeout_ms == 5


def test_an_unknown_member_of_that_table_is_refused(tmp_path: Path) -> None:
    """By the name that its variable would have."""
    file = tmp_path / "planstream.toml"
    file.write_text('[error_handler]\ncall = "shop.alerts:tell"\n')
    with pytest.raises(SettingsError, match="ERROR_HANDLER_CALL: there is no such"):
        Settings.load(config=file)


@pytest.mark.parametrize(
    "path", ["tell", "shop.alerts.tell", "shop:", ":tell", "a b:c"]
)
def test_a_callable_is_named_with_its_module(path: str) -> None:
    """As entry points name them."""
    with pytest.raises(SettingsError, match=r"package\.module:function"):
        Settings.load(error_handler_callable=path)
