"""The options that commands share."""

from pathlib import Path
from typing import Annotated, Any

import typer

Broker = Annotated[
    str | None,
    typer.Option(help="Broker addresses, host:port,… [PLANSTREAM_BROKER]"),
]
Config = Annotated[
    Path | None, typer.Option(help="A TOML file with settings. [PLANSTREAM_CONFIG]")
]
Prefix = Annotated[
    str | None,
    typer.Option(help="What the topics' names begin with. [PLANSTREAM_PREFIX]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")]
File = Annotated[
    str,
    typer.Argument(
        metavar="FILE|-",
        help="Submissions in JSON: one a line, or laid out as you like. - is stdin.",
    ),
]
Fill = Annotated[
    bool,
    typer.Option(
        "--fill",
        help="Fill in what is missing: ids, version, times, deadline; names of steps "
        "become ids.",
    ),
]
Handlers = Annotated[
    list[str] | None,
    typer.Option(
        help="A module with step handlers, such as shop.handlers; repeatable. Those of "
        "installed packages (entry points planstream.actions) are found without."
    ),
]
Name = Annotated[
    str | None,
    typer.Option(help="Tells the processes of a host apart. [PLANSTREAM_NAME]"),
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds to wait for each result; without, for ever."),
]


def load_settings(
    broker: str | None, config: Path | None, prefix: str | None, **more: Any
) -> Any:
    """Read the settings; options win over the environment.

    Raises:
        SettingsError: One line for each wrong value.
    """
    # Here, so that --help is quick.
    from streams.config import Settings  # noqa: PLC0415

    return Settings.load(broker=broker, config=config, prefix=prefix, **more)
