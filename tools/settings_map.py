"""Describes the settings, as their source does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import streams.config
from streams.config import ENV_PREFIX, Settings


class Setting(NamedTuple):
    """One row of the table of settings."""

    variable: str
    default: str
    what: str


_UNSAID = {
    "broker": "Addresses of brokers, `host:port,…`.",
    "security_protocol": "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    "sasl_mechanism": "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.",
    "sasl_username": "Needed with SASL.",
    "sasl_password": "Never shown.",
    "ssl_ca_file": "Certificates of authorities; the system's when not set.",
    "ssl_cert_file": "The client's certificate.",
    "ssl_key_file": "The key of that certificate.",
    "prefix": "What the names of topics and groups begin with: an installation's name.",
    "halts_retention_ms": "How long halts stay; every worker reads all at its start.",
    "max_submission_bytes": "The largest value of a submission (R38).",
    "max_step_result_bytes": "The largest result of a step, as JSON text (R22).",
    "commit_interval_ms": "How long what ends no plan waits for its transaction.",
    "commit_rows": "Rows that make a transaction due at once.",
    "commit_timeout_ms": "The longest transaction; past it the process exits.",
    "concurrency": "Async handlers at once in a worker.",
    "group_instance_id": "The whole member id, instead of host, role and name or slot.",
    "session_timeout_ms": "Silence after which a process's partitions go to others.",
    "heartbeat_interval_ms": "Also what a join of the group costs the others.",
    "rebalance_timeout_ms": "A rebalance that lasts longer ends the process.",
    "shutdown_timeout_ms": "How long a stop may take; past it the process exits.",
    "fetch_max_wait_ms": "How long a broker may hold a fetch that finds nothing.",
    "health_host": "The address that `health_port` is on; 0.0.0.0 is every one.",
    "data_dir": "Slots of this host, Faust's own files, the embedded broker's data.",
    "log_level": "DEBUG, INFO, WARNING or ERROR.",
}
"""What the source leaves to the name."""

_ELSEWHERE = {
    "processes": "one per CPU, at most 4",
    "data_dir": "`$XDG_STATE_HOME/planstream`, or `~/.local/state/planstream`",
    "replication_factor": "3, or one per broker if there are fewer",
    "request_partitions": "as `PLANSTREAM_PARTITIONS`",
    "name": "the lowest free slot of the host",
    "routes": "none",
}
"""Defaults that depend on the machine, the broker or other settings."""

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def sections() -> dict[str, list[Setting]]:
    """The settings by the comments that head them in their source."""
    found: dict[str, list[Setting]] = {}
    title = "The file"
    lines = Path(streams.config.__file__).read_text("utf-8").splitlines()
    said = dict(_docstrings("\n".join(lines)))
    for line in lines:
        text = line.strip()
        name = text.partition(":")[0]
        if line.startswith("    # ") and text.endswith("."):
            title = text.removeprefix("# ").removesuffix(".")
        elif line.startswith(f"    {name}:") and name in Settings.model_fields:
            found.setdefault(title, []).append(_setting(name, said))
    return found


def _setting(name: str, said: dict[str, str]) -> Setting:
    what = " ".join((said.get(name) or _UNSAID[name]).split())
    return Setting(ENV_PREFIX + name.upper(), _default(name), what)


def _default(name: str) -> str:
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    value = Settings.model_fields[name].default
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    span = _span(value) if name.endswith("_ms") else ""
    return f"`{value}`{span}"


def _span(ms: int) -> str:
    for size, unit in _UNITS:
        if ms >= size and ms % size == 0:
            return f" ({ms // size} {unit})"
    return ""


def _docstrings(source: str) -> Iterator[tuple[str, str]]:
    """The strings that follow the settings in their class."""
    module = ast.parse(source)
    body = next(
        node.body
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    )
    for field, after in pairwise(body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, text
