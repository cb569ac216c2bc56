"""The schemas of earlier releases, by which records lie on topics and in changelogs.

`avro/releases/<version>/` holds what that version wrote; it is never changed. A reader
finds the schema of a record by its fingerprint, of a table row by the row's version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from fastavro.schema import load_schema

RELEASES: Final = Path(__file__).parent / "avro" / "releases"

ROW_RELEASES: Final[Mapping[int, str]] = {1: "0.1.0"}
"""By the version of table rows: the release whose schemas they follow.

The last one is written today. Who changes a row's schema adds a version, whose release
is the next one's; rows of the others are read by their schemas, and resolved."""
ROW_VERSION: Final = max(ROW_RELEASES)

Resolve = Callable[[Any], Any]


def releases() -> list[Path]:
    """The directories of the releases."""
    return sorted(path for path in RELEASES.iterdir() if path.is_dir())


def schema_in(directory: Path, name: str) -> dict[str, Any] | None:
    """A record schema as a release had it; None if it is none, or was not there."""
    path = directory / f"planstream.{name}.avsc"
    schema: Any = load_schema(str(path)) if path.exists() else None
    return schema if isinstance(schema, dict) and "fields" in schema else None


def earlier_schemas(name: str) -> Iterator[dict[str, Any]]:
    """The schemas of a record in all releases."""
    for directory in releases():
        if schema := schema_in(directory, name):
            yield schema


def resolution(writer: dict[str, Any], reader: dict[str, Any]) -> Resolve:
    """Make the function that turns what one schema wrote into what another has.

    Fields that the reader does not know are dropped, those that the writer did not know
    get their defaults. It raises ValueError for an enum's symbol that the reader lacks.

    Raises:
        TypeError: The reader cannot have what was written: a field without a default is
            new, or a type differs.
    """
    return _Resolution(_named(writer), _named(reader)).of(writer, reader)


_PRIMITIVES = frozenset({"string", "long", "bytes", "boolean", "double", "null"})


def _named(schema: Any) -> dict[str, Any]:
    """The records and enums in a parsed schema, by name."""
    found: dict[str, Any] = {}
    todo = [schema]
    while todo:
        match todo.pop():
            case list() as branches:
                todo += branches
            case {"name": name, "fields": fields} as record:
                found[name] = record
                todo += [field["type"] for field in fields]
            case {"name": name, "symbols": _} as enum:
                found[name] = enum
            case {"items": inner} | {"values": inner}:
                todo.append(inner)
    return found


class _Resolution:
    """Goes through two schemas of a record at once; types may refer to themselves."""

    def __init__(self, writers: dict[str, Any], readers: dict[str, Any]) -> None:
        self._writers, self._readers = writers, readers
        self._records: dict[str, Resolve] = {}

    def of(self, writer: Any, reader: Any) -> Resolve:
        """The function for a value of two schemas."""
        match self._whole(writer, self._writers), self._whole(reader, self._readers):
            case str() as kind, str() as wanted if kind == wanted:
                return _same
            case ["null", some], ["null", wanted]:
                return _or_none(self.of(some, wanted))
            case some, ["null", wanted] if not isinstance(some, list):
                return self.of(some, wanted)
            case {"items": items}, {"items": wanted}:
                return _each(self.of(items, wanted))
            case {"values": values}, {"values": wanted}:
                return _each_value(self.of(values, wanted))
            case {"symbols": _, "name": _}, {"symbols": symbols, "name": name}:
                return _symbol(name, frozenset(symbols))
            case {"fields": _} as record, {"fields": _} as wanted:
                return self._record(record, wanted)
        raise TypeError(f"what {writer} wrote cannot be read as {reader}")

    def _whole(self, schema: Any, named: Mapping[str, Any]) -> Any:
        if isinstance(schema, str) and schema not in _PRIMITIVES:
            return named[schema]
        return schema

    def _record(self, writer: dict[str, Any], reader: dict[str, Any]) -> Resolve:
        name = reader["name"]

        def resolve(fields: Any) -> Any:
            # Its fields may be of its own type: looked up when called, not when made.
            return self._records[name](fields)

        if name not in self._records:
            self._records[name] = resolve
            self._records[name] = self._fields(writer, reader)
        return resolve

    def _fields(self, writer: dict[str, Any], reader: dict[str, Any]) -> Resolve:
        written = {field["name"]: field["type"] for field in writer["fields"]}
        kept: dict[str, Resolve] = {}
        new: dict[str, Any] = {}
        for field in reader["fields"]:
            name = field["name"]
            if name in written:
                kept[name] = self.of(written[name], field["type"])
            elif "default" in field:
                new[name] = field["default"]
            else:
                raise TypeError(f"{reader['name']}.{name} is new and has no default")
        order = [field["name"] for field in reader["fields"]]
        return lambda fields: {
            name: kept[name](fields[name]) if name in kept else deepcopy(new[name])
            for name in order
        }


def _same(value: Any) -> Any:
    return value


def _or_none(resolve: Resolve) -> Resolve:
    return lambda value: None if value is None else resolve(value)


def _each(resolve: Resolve) -> Resolve:
    return lambda items: [resolve(item) for item in items]


def _each_value(resolve: Resolve) -> Resolve:
    return lambda values: {name: resolve(value) for name, value in values.items()}


def _symbol(name: str, symbols: frozenset[str]) -> Resolve:
    def known(value: str) -> str:
        if value not in symbols:
            raise ValueError(f"{value} is no symbol of {name} any longer")
        return value

    return known
