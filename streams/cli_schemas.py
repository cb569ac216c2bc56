"""`planstream schemas` and `planstream asyncapi`: publish what records look like."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli_options import Broker, Config, Prefix, load_settings
from streams.cli_output import reported

EXPORTS = Path("planstream-schemas")

schemas_app = typer.Typer(no_args_is_help=True, help="Export the records' schemas.")


@schemas_app.command(epilog="Example: `planstream schemas export planstream-schemas`")
def export(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to; made if it is missing.")
    ] = EXPORTS,
) -> None:
    """Write the Avro schemas and JSON Schemas of all records, each whole in a file.

    Editors check plans by json/PlanSubmission.schema.json. No broker is needed.
    """
    with reported():
        from streams.published import files  # noqa: PLC0415 - so that --help is quick
        from streams.topics import Topics  # noqa: PLC0415

        written = dict(files(Topics.of(load_settings(None, None, None))))
        for name, schema in written.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(schema), encoding="utf-8")
            typer.echo(path)


def asyncapi(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
) -> None:
    """Print an AsyncAPI 3.0 document of all topics, by the settings; asks no broker."""
    with reported():
        from streams.asyncapi import document  # noqa: PLC0415

        typer.echo(_text(document(load_settings(broker, config, prefix))), nl=False)


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
