"""The commands for dead letters, each with its options."""

from typing import Annotated

import typer

from streams.cli_options import Broker, Config, Json, Prefix, load_settings
from streams.cli_output import reported

rejected_app = typer.Typer(
    no_args_is_help=True, help="List, show or replay dead letters."
)

Reason = Annotated[
    str | None, typer.Option(help="Only those with this reason, such as POISON.")
]
Source = Annotated[
    str | None, typer.Option(help="Only those that lay on this topic before.")
]
Since = Annotated[
    str | None,
    typer.Option(help="Only those since then: a span like 10m, or Unix ms."),
]


@rejected_app.command("list", epilog="Example: `planstream rejected list --since 1d`")
def list_(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    json: Json = False,
) -> None:
    """List dead letters, the oldest first, and whether they were replayed."""
    with reported():
        settings = load_settings(broker, config, prefix)
        from streams.cli_letters import choose, list_letters

        choice = choose(settings, [], reason, source, since)
        raise typer.Exit(list_letters(settings, choice, as_json=json))


@rejected_app.command(epilog="Example: `planstream rejected show rejected-3@17`")
def show(
    letter: Annotated[str, typer.Argument(help="Its address, such as rejected-3@17.")],
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
) -> None:
    """Print a dead letter: headers, key, and the value, read if it can be."""
    with reported():
        settings = load_settings(broker, config, prefix)
        from streams.cli_letters import show_letter

        raise typer.Exit(show_letter(settings, letter))


@rejected_app.command(epilog="Example: `planstream rejected replay --reason POISON`")
def replay(
    letters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LETTER]...", help="Addresses; all, without."),
    ] = None,
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without, it is only said.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Those too that were replayed before.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Those too that cannot succeed.")
    ] = False,
    json: Json = False,
) -> None:
    """Submit dead letters again, key and value untouched, and mark them as replayed.

    Exits with 1 if some are held back.
    """
    with reported():
        settings = load_settings(broker, config, prefix)
        from streams.cli_letters import Replay, choose, replay_letters

        choice = choose(settings, letters or [], reason, source, since)
        allowed = {"--again": again, "--force": force}
        options = frozenset(name for name, given in allowed.items() if given)
        how = Replay(choice, options, doing=yes, as_json=json)
        raise typer.Exit(replay_letters(settings, how))
