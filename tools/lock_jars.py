"""Makes streams/devkit/kafka.lock.json anew from what Maven Central resolves."""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import jgo
from jgo.maven import MavenContext

from streams.devkit.server_properties import KAFKA_VERSION

KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
LOGGER = ("org.slf4j", "slf4j-simple")
"""Its version has to be that of the slf4j-api that Kafka brings."""

LOCK = Path(__file__).parent.parent / "streams" / "devkit" / "kafka.lock.json"


def coordinates() -> list[tuple[str, str, str]]:
    """Resolve Kafka with all it needs, and a logger that fits."""
    jars = [(a.groupId, a.artifactId, a.version) for a in jgo.resolve(KAFKA)]
    api = next(version for _, artifact, version in jars if artifact == "slf4j-api")
    return sorted({*jars, (*LOGGER, api)})


def entry(
    context: MavenContext, group: str, artifact: str, version: str
) -> dict[str, str | int]:
    """Fetch one jar to learn its size and its SHA-256."""
    component = context.project(group, artifact).at_version(version)
    data = Path(component.artifact().resolve()).read_bytes()
    return {
        "group": group,
        "artifact": artifact,
        "version": version,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def main() -> None:
    """Write the lock."""
    with TemporaryDirectory() as cache:
        context = MavenContext(repo_cache=Path(cache), timeout=60)
        jars = [entry(context, *jar) for jar in coordinates()]
    LOCK.write_text(json.dumps({"jars": jars}, indent=1) + "\n", "utf-8")
    print(f"{len(jars)} jars, {sum(int(jar['size']) for jar in jars) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
