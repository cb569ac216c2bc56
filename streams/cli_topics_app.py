"""The commands of `planstream topics`, each with its options."""

import typer

from streams.cli_options import Broker, Config, Json, Prefix, load_settings
from streams.cli_output import reported

topics_app = typer.Typer(no_args_is_help=True, help="Create or check the topics.")


@topics_app.command(epilog="Example: `planstream topics create --broker kafka-1:9092`")
def create(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Create the topics that are missing, then check all of them."""
    with reported():
        from streams.cli_topics import run

        raise typer.Exit(
            run(load_settings(broker, config, prefix), json, creating=True)
        )


@topics_app.command(epilog="Example: `planstream topics check --json`")
def check(
    broker: Broker = None,
    config: Config = None,
    prefix: Prefix = None,
    json: Json = False,
) -> None:
    """Compare the topics with the settings; say what does not fit, and what to do."""
    with reported():
        from streams.cli_topics import run

        raise typer.Exit(
            run(load_settings(broker, config, prefix), json, creating=False)
        )
