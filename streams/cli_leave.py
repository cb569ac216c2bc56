"""`planstream leave`: takes a stopped process out of its group for good."""

import json

import typer
from rich.console import Console
from rich.table import Table

from streams.cli_loop import run_async
from streams.cli_output import ExitCode
from streams.config import Settings
from streams.exceptions import SettingsError
from streams.runtime.membership import Member, leave, members

ROLES = ("coordinator", "worker", "error-handler")


def run(settings: Settings, role: str | None, name: str | None, as_json: bool) -> int:
    """Remove a member, or list all when none is named; return the exit code.

    Raises:
        SettingsError: There is no such role.
    """
    if role not in (None, *ROLES):
        raise SettingsError([f"{role!r} is no role: {' or '.join(ROLES)}"])
    if role is not None and name is not None:
        return run_async(_leave(settings, role, name, as_json))
    return run_async(_list(settings, ROLES if role is None else (role,), as_json))


async def _leave(settings: Settings, role: str, name: str, as_json: bool) -> ExitCode:
    gone = await leave(settings, _group(settings, role), name)
    if as_json:
        typer.echo(json.dumps({**_facts(role, gone), "left": True}))
    else:
        count = len(gone.partitions)
        typer.echo(f"{name} has left: its {count} partitions go to the other {role}s")
    return ExitCode.OK


async def _list(settings: Settings, roles: tuple[str, ...], as_json: bool) -> ExitCode:
    table = Table("role", "name", "static", "host", "partitions")
    for role in roles:
        for each in await members(settings, _group(settings, role)):
            if as_json:
                typer.echo(json.dumps(_facts(role, each)))
            static = "no" if each.instance_id is None else "yes"
            table.add_row(role, each.name, static, each.host, str(len(each.partitions)))
    if not as_json:
        if table.row_count:
            Console(highlight=False, markup=False, soft_wrap=True).print(table)
        else:
            typer.echo("the groups have no members")
    return ExitCode.OK


def _group(settings: Settings, role: str) -> str:
    groups = {
        "coordinator": settings.coordinator_app_id,
        "worker": settings.worker_app_id,
        "error-handler": settings.error_handler_app_id,
    }
    return groups[role]


def _facts(role: str, member: Member) -> dict[str, object]:
    return {
        "role": role,
        "name": member.name,
        "static": member.instance_id is not None,
        "host": member.host,
        "partitions": [f"{topic}/{number}" for topic, number in member.partitions],
    }
