"""`planstream status` with its options."""

from typing import Annotated

import typer

from streams.cli_options import Broker, Config, Json, Prefix, load_settings
from streams.cli_output import reported


def status(
    asked_for: Annotated[
        str,
        typer.Argument(metavar="PLAN_ID|EXECUTION_ID", help="Which plan is asked for."),
    ],
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    resources: Annotated[
        bool,
        typer.Option("--resources", help="List what the execution holds, and where."),
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for the answers.")
    ] = 10.0,
    json: Json = False,
) -> None:
    """Ask the coordinators how far a plan is, or how it ended.

    Exits with 0 if it is known, 6 if nobody knows it, 7 if not all owners of partitions
    answered (or, with --resources, not all workers).
    """
    with reported():
        settings = load_settings(broker, config, prefix)
        from streams.cli_status import run  # noqa: PLC0415 - so that --help is quick

        raise typer.Exit(run(settings, asked_for, resources, timeout, as_json=json))
