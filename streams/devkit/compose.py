"""Writes docker-compose.kafka.yml: the embedded broker's twin, for Docker.

`python -m streams.devkit.compose > docker-compose.kafka.yml` makes the file anew.
"""

import sys
from collections.abc import Mapping

from streams.devkit.server_properties import KAFKA_VERSION, SHARED

_NODE: Mapping[str, str] = {
    "node.id": "1",
    "process.roles": "broker,controller",
    "controller.quorum.voters": "1@localhost:9093",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "advertised.listeners": "PLAINTEXT://127.0.0.1:9092",
    "log.dirs": "/var/lib/kafka/data",
}

_TEMPLATE = """\
# One Apache Kafka broker on 127.0.0.1:9092, as the embedded one is set up.
# Made by `python -m streams.devkit.compose`; not edited by hand.
services:
  kafka:
    image: apache/kafka:{version}
    ports:
      - "127.0.0.1:9092:9092"
    environment:
{environment}
    volumes:
      - kafka-data:/var/lib/kafka/data
    healthcheck:
      test:
        - CMD
        - /opt/kafka/bin/kafka-broker-api-versions.sh
        - --bootstrap-server
        - localhost:9092
      interval: 5s
      timeout: 10s
      retries: 12
      start_period: 10s

volumes:
  kafka-data:
"""


def variable(setting: str) -> str:
    """Return the variable by which the image takes a broker setting."""
    return "KAFKA_" + setting.upper().replace(".", "_")


def compose_file() -> str:
    """Return the text of docker-compose.kafka.yml."""
    settings = {variable(name): value for name, value in {**_NODE, **SHARED}.items()}
    settings["KAFKA_HEAP_OPTS"] = "-Xmx512m"
    lines = (f'      {name}: "{value}"' for name, value in settings.items())
    return _TEMPLATE.format(version=KAFKA_VERSION, environment="\n".join(lines))


if __name__ == "__main__":
    sys.stdout.write(compose_file())
