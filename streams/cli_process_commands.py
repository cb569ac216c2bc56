"""The commands that run a process of the installation, each with its options."""

from typing import Annotated

import typer

from streams.cli_options import Broker, Config, Handlers, Name, Prefix, load_settings
from streams.cli_output import reported

Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", help="A queue to serve; repeatable. [PLANSTREAM_QUEUES]"),
]
Concurrency = Annotated[
    int | None, typer.Option(help="Handlers at once. [PLANSTREAM_CONCURRENCY]")
]


def coordinator(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    name: Name = None,
) -> None:
    """Run a coordinator: it admits plans, folds outcomes, publishes results."""
    with reported():
        settings = load_settings(broker, config, prefix, name=name)
        from streams.apps import run_coordinator

        raise typer.Exit(run_coordinator(settings))


def worker(
    handlers: Handlers = None,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    name: Name = None,
    queue: Queues = None,
    concurrency: Concurrency = None,
) -> None:
    """Run a step worker: it executes steps with your handlers."""
    with reported():
        more = {"name": name, "queues": queue or None, "concurrency": concurrency}
        settings = load_settings(broker, config, prefix, **more)
        from streams.cli_processes import run_worker

        raise typer.Exit(run_worker(settings, handlers or []))


def combined(
    handlers: Handlers = None,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    name: Name = None,
    queue: Queues = None,
    concurrency: Concurrency = None,
) -> None:
    """Run a coordinator and a step worker in one process.

    A plan that is alone is quicker there. Handlers must leave the loop to others: one
    that blocks it holds the coordinator up, too.
    """
    with reported():
        more = {"name": name, "queues": queue or None, "concurrency": concurrency}
        settings = load_settings(broker, config, prefix, **more)
        from streams.cli_processes import run_combined

        raise typer.Exit(run_combined(settings, handlers or []))


def error_handler(
    function: Annotated[
        str | None,
        typer.Option(
            "--callable",
            help="Who is told of failures, such as shop.alerts:tell. "
            "[PLANSTREAM_ERROR_HANDLER_CALLABLE]",
        ),
    ] = None,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    name: Name = None,
) -> None:
    """Run an error handler: it tells a function of yours of every failed plan."""
    with reported():
        more = {"name": name, "error_handler_callable": function}
        settings = load_settings(broker, config, prefix, **more)
        from streams.cli_processes import run_error_handler

        raise typer.Exit(run_error_handler(settings))
