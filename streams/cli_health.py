"""The command that probes run: asks a process of this host how it is."""

import json
import time
from collections.abc import Iterable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from streams.cli_output import ExitCode, complain
from streams.config import Settings
from streams.exceptions import SettingsError

STALE_S = 10.0
"""The age at which a file says nothing any more; it is written every second."""
ANSWER_WITHIN_S = 3.0
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (it is asked)


def run(settings: Settings, *, live: bool) -> ExitCode:
    """Say what keeps the process from being live or ready; see `ExitCode`.

    Raises:
        SettingsError: the settings name neither a file nor a port.
    """
    try:
        report = _ask(settings)
    except (OSError, HTTPException, ValueError) as error:
        complain(f"it does not answer: {error}")
        return ExitCode.NOT_SUCCESS
    if report.get("live" if live else "ready") is True:
        return ExitCode.OK
    complain(*_reasons(report))
    return ExitCode.NOT_SUCCESS


def _ask(settings: Settings) -> dict[str, Any]:
    if settings.health_file is not None:
        return _read(settings.health_file)
    if settings.health_port:
        return _get(settings.health_host, settings.health_port)
    raise SettingsError(
        ["PLANSTREAM_HEALTH_FILE, PLANSTREAM_HEALTH_PORT: set one, as the process has"]
    )


def _read(path: Path) -> dict[str, Any]:
    age_s = time.time() - path.stat().st_mtime
    if age_s > STALE_S:
        raise TimeoutError(f"{path} was written {age_s:.0f} s ago")
    report: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return report


def _get(host: str, port: int) -> dict[str, Any]:
    address = _EVERY_ADDRESS.get(host, host)
    connection = HTTPConnection(address, port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/ready")
        report: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return report


def _reasons(report: dict[str, Any]) -> Iterable[str]:
    reasons: Iterable[str] = report.get("reasons") or ["it does not say why"]
    return reasons
