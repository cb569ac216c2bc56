"""Reads the TOML file with settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from streams.exceptions import SettingsError

TABLES = ("error_handler",)
"""Tables of the file whose members are settings that begin with the table's name."""


def file_source(
    settings_cls: type[BaseSettings], path: Path
) -> PydanticBaseSettingsSource:
    """Read the file; what is wrong with it is one line, as with any setting.

    Raises:
        SettingsError: It cannot be read, or is no TOML.
    """
    try:
        path.read_text(encoding="utf-8")
        return _File(settings_cls, toml_file=path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError([f"PLANSTREAM_CONFIG: {path}: {reason}"]) from None


class _File(TomlConfigSettingsSource):
    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return _flat(super()._read_file(file_path))


def _flat(members: Mapping[str, Any]) -> dict[str, Any]:
    """Write `[error_handler] callable` as the setting `error_handler_callable`."""
    flat: dict[str, Any] = {}
    for name, value in members.items():
        if name in TABLES and isinstance(value, dict):
            flat |= {f"{name}_{member}": each for member, each in value.items()}
        else:
            flat[name] = value
    return flat
