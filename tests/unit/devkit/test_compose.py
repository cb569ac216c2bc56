from pathlib import Path

from streams.devkit.compose import compose_file, variable
from streams.devkit.server_properties import SHARED, Node, embedded, render

COMPOSE = Path(__file__).parents[3] / "docker-compose.kafka.yml"


def test_the_compose_file_is_the_one_we_would_write() -> None:
    """Brokers in Docker and embedded ones are set up from one source."""
    again = "make it again: python -m streams.devkit.compose > docker-compose.kafka.yml"
    assert COMPOSE.read_text("utf-8") == compose_file(), again


def test_the_compose_file_has_every_shared_setting() -> None:
    """As variables of the image, quoted, so that YAML leaves them alone."""
    text = COMPOSE.read_text("utf-8")
    for name, value in SHARED.items():
        assert f'      {variable(name)}: "{value}"\n' in text


def test_variables_are_named_as_the_image_wants_them() -> None:
    """Dots become underscores."""
    assert variable("auto.create.topics.enable") == "KAFKA_AUTO_CREATE_TOPICS_ENABLE"


def test_the_embedded_broker_listens_on_this_machine_only() -> None:
    """Nobody else is to reach it."""
    settings = embedded(Node(1, 9092, 9093), Path("/data"))
    addresses = [value for name, value in settings.items() if "listeners" in name]

    assert all("127.0.0.1" in address for address in addresses)
    assert "0.0.0.0" not in render(settings)


def test_a_path_with_backslashes_survives() -> None:
    """A properties file has a syntax of its own."""
    assert embedded(Node(1, 1, 2), Path("a\\b"))["log.dirs"] == "a\\\\b"
