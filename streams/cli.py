"""The command line: its commands, each with its options."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import (
    Broker,
    Config,
    File,
    Fill,
    Handlers,
    Json,
    Prefix,
    Timeout,
)
from streams.cli_options import load_settings as _settings
from streams.cli_output import ExitCode, reported
from streams.cli_process_commands import combined, coordinator, error_handler, worker
from streams.cli_rejected import rejected_app
from streams.cli_schemas import asyncapi, schemas_app
from streams.cli_status_command import status
from streams.cli_topics_app import topics_app

app = typer.Typer(
    name="planstream",
    no_args_is_help=True,
    add_completion=False,
    # A bug is shown as Python shows it; rich's frames hide the line that matters.
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all well, 1 violations, or an outcome that is no success, "
    "2 wrong usage or settings, 3 no broker, 4 topics do not fit, 5 no result in time, "
    "6 no such plan, 7 not all owners answered, 130 interrupted.",
)
app.add_typer(topics_app, name="topics")
app.add_typer(rejected_app, name="rejected")
app.add_typer(schemas_app, name="schemas")


def _version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"planstream {version('planstream')}")
    except PackageNotFoundError:
        typer.echo("planstream, not installed")
    raise typer.Exit


@app.callback()
def planstream(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which."),
    ] = False,
) -> None:
    """Execute plans that arrive on Kafka, each with exactly one typed result.

    Every setting can be given as a variable PLANSTREAM_…, or in a TOML file.
    """


@app.command(epilog="Example: `planstream demo`")
def demo(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    reports: Annotated[
        Path | None,
        typer.Option(help="Where the reports go; ./planstream-demo without."),
    ] = None,
    json: Json = False,
) -> None:
    """See it work: Kafka, a coordinator, a worker, and a few plans.

    The plans measure Python's own standard library. With --broker (or
    PLANSTREAM_BROKER) that one is used, with topics that are deleted afterwards.
    """
    with reported():
        settings = _settings(broker, config, prefix)
        from streams.devkit.demo import run

        raise typer.Exit(run(settings, reports, as_json=json))


@app.command(epilog="Example: `planstream dev --handlers shop.handlers`")
def dev(
    handlers: Handlers = None,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    coordinators: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="How many of them.")] = 1,
) -> None:
    """Run everything on this machine, restarted when it exits, until Ctrl-C.

    Without --broker (or PLANSTREAM_BROKER) an embedded Kafka is started; its data stays
    in the data directory.
    """
    with reported():
        settings = _settings(broker, config, prefix)
        from streams.cli_dev import run

        code = run(settings, handlers or [], coordinators, workers)
        raise typer.Exit(code)


app.command(epilog="Example: `planstream coordinator --broker kafka-1:9092`")(
    coordinator
)
app.command(epilog="Example: `planstream worker --handlers shop.handlers`")(worker)
app.command(epilog="Example: `planstream combined --handlers shop.handlers`")(combined)
app.command(
    "error-handler",
    epilog="Example: `planstream error-handler --callable shop.alerts:tell`",
)(error_handler)


@app.command(epilog="Example: `planstream health --live`")
def health(
    config: Config = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Ask whether it need not be started again."),
    ] = False,
) -> None:
    """Ask a coordinator or worker of this host whether it is ready, for probes.

    It must have a health_file or a health_port, and this command the same settings.
    Exits with 0 if all is well, else with 1 and the reasons.
    """
    with reported():
        settings = _settings(None, config, None)
        from streams.cli_health import run

        raise typer.Exit(run(settings, live=live))


@app.command(epilog="Example: `planstream submit --watch examples/plans/chain.json`")
def submit(
    file: File,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Wait for the results, print them.")
    ] = False,
    timeout: Timeout = None,
    fill: Fill = False,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew", help="Submit it as a new plan: new ids, times, deadline."
        ),
    ] = False,
    validate: Annotated[
        bool,
        typer.Option(help="Whether to hold back what breaks the contract."),
    ] = True,
    json: Json = False,
) -> None:
    """Submit plans: each line's bytes are sent as they are, keyed by its plan's id.

    Exits with 1 if something was held back or, with --watch, if some outcome is no
    success.
    """
    with reported():
        settings = _settings(broker, config, prefix)
        from streams.cli_submit import Submit, run

        how = Submit(file, fill, renew, validate, watch, timeout, json)
        raise typer.Exit(run(settings, how))


@app.command(epilog="Example: `planstream watch --since 1h --limit 10`")
def watch(
    plan_ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PLAN_ID]...", help="Wait for the results of these plans alone."
        ),
    ] = None,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="From when on: `start`, a span before now (90s, 10m, 1h, 7d), Unix ms."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many results.")
    ] = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Show dead letters too.")
    ] = False,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Print results as they come, or wait for those of some plans.

    With plan ids it exits with 1 if some outcome is no success, and finds results of
    the last hour too (further back with --since).
    """
    with reported():
        settings = _settings(broker, config, prefix)
        from streams.cli_watch import Watch, run

        how = Watch(plan_ids or [], since, limit, rejected, timeout, json)
        raise typer.Exit(run(settings, how))


@app.command(epilog="Example: `planstream validate --graph examples/plans/chain.json`")
def validate(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|-...",
            help="Submissions in JSON, one a line or laid out as you like. - is stdin.",
        ),
    ],
    fill: Fill = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw each valid plan, as a tree of text.")
    ] = False,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Draw each as a Mermaid flow chart.")
    ] = False,
    json: Json = False,
) -> None:
    """Look for everything in submissions that breaks the contract; sends nothing.

    Warnings tell what is allowed and likely not meant; they do not count.
    """
    with reported():
        from streams.cli_validate import Validate, run

        drawing = "mermaid" if mermaid else "text" if graph else None
        raise typer.Exit(run(Validate(files, fill, drawing, json)))


@app.command(epilog="Example: `planstream conformance --rule R14`")
def conformance(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="Run the cases of this rule alone, such as §5.2; repeatable."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Step workers to run for the suite's queue; 0 when the installation's "
            "own serve streams.conformance.handlers.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check a running system against the contract, rule by rule, by its topics alone.

    Without --broker (or PLANSTREAM_BROKER) a Kafka is started, with coordinators and
    workers. With it, the installation of that prefix is checked, which must route the
    suite's actions (docs/testing.md). Exits with 1 if a case fails.
    """
    with reported():
        settings = _settings(broker, config, prefix)
        from streams.cli_conformance import run

        raise typer.Exit(run(settings, rule or [], workers, as_json=json))


@app.command(epilog="Example: `planstream leave coordinator host-1-coordinator-2`")
def leave(
    role: Annotated[
        str | None, typer.Argument(help="coordinator or worker; both when not given.")
    ] = None,
    name: Annotated[
        str | None, typer.Argument(help="Who leaves; without, the members are listed.")
    ] = None,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Take a process that was stopped for good out of its group, or list the members.

    Its partitions go to the others at once, not when its session has expired. One that
    still runs joins again.
    """
    with reported():
        settings = _settings(broker, config, prefix)
        from streams.cli_leave import run

        raise typer.Exit(run(settings, role, name, json))


@app.command(epilog="Example: `planstream reset --write`")
def reset(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    write: Annotated[
        bool, typer.Option("--write", help="Do it; without, it is only said.")
    ] = False,
    json: Json = False,
) -> None:
    """Move the coordinators' positions into their logs after topics were lost.

    Only while no coordinator runs. Exits with 1 if something is to be moved and --write
    was not given.
    """
    with reported():
        settings = _settings(broker, config, prefix)
        from streams.cli_reset import run

        raise typer.Exit(run(settings, writing=write, as_json=json))


app.command(epilog="Example: `planstream status --resources PLAN_ID`")(status)
app.command(epilog="Example: `planstream asyncapi > asyncapi.json`")(asyncapi)


__all__ = ["ExitCode", "app"]
