"""Python source of functions that follow an Avro schema, one for each record type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar


class Source(ABC):
    """Goes through a schema once; subclasses say what is done with each type.

    What they say are statements, line by line. `place` is where a value comes from or
    goes to, an expression or a variable, as the subclass has it.
    """

    verb: ClassVar[str]
    """Begins the names of the functions."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._constants: dict[str, Any] = {}
        self._types: dict[str, Any] = {}
        self._variables = 0

    def compiled(self, schema: dict[str, Any], scope: Mapping[str, Any]) -> Any:
        """The function of a record schema; `scope` is what its statements use.

        Raises:
            TypeError: The schema has a type that none of ours has.
        """
        name = self._define(schema)
        names = {**scope, **self._constants}
        exec("\n".join(self._lines), names)  # noqa: S102 - made here, of our schemas
        return names[name]

    def value(self, schema: Any, place: str) -> Iterator[str]:
        """The statements for a value of this schema."""
        match schema:
            case "string" | "long" | "bytes" | "boolean" | "double":
                yield from self.primitive(schema, place)
            case str() if schema in self._types:
                yield from self._named(self._types[schema], place)
            case ["null", some]:
                yield from self.nullable(some, place)
            case {"type": "record"}:
                self._define(schema)
                yield from self._named(schema, place)
            case {"type": "enum", "name": name}:
                self._types[name] = schema
                yield from self._named(schema, place)
            case {"type": "array", "items": items}:
                yield from self.array(items, place)
            case {"type": "map", "values": values}:
                yield from self.map(values, place)
            case _:
                raise TypeError(f"no code for the Avro schema {schema}")

    def variable(self) -> str:
        """A name that nothing else has."""
        self._variables += 1
        return f"v{self._variables}"

    def constant(self, value: Any) -> str:
        """The name of a constant that the statements can use."""
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    @abstractmethod
    def function(self, name: str, record: dict[str, Any]) -> Iterable[str]:
        """The function of a record type, under this name."""

    @abstractmethod
    def primitive(self, kind: str, place: str) -> Iterable[str]:
        """The statements for a string, a long, bytes, a boolean or a double."""

    @abstractmethod
    def record(self, function: str, place: str) -> Iterable[str]:
        """The statements for a record inside another, which has this function."""

    @abstractmethod
    def enum(self, schema: dict[str, Any], place: str) -> Iterable[str]:
        """The statements for a symbol."""

    @abstractmethod
    def nullable(self, schema: Any, place: str) -> Iterable[str]:
        """The statements for null or a value of this schema."""

    @abstractmethod
    def array(self, items: Any, place: str) -> Iterable[str]:
        """The statements for a list of values of this schema."""

    @abstractmethod
    def map(self, values: Any, place: str) -> Iterable[str]:
        """The statements for values of this schema by name."""

    def _define(self, record: dict[str, Any]) -> str:
        """Add the function of a record type, whose fields may be of its own type."""
        self._types[record["name"]] = record
        name = self._function_of(record)
        self._lines += [*self.function(name, record), ""]
        return name

    def _named(self, schema: dict[str, Any], place: str) -> Iterable[str]:
        if schema["type"] == "enum":
            return self.enum(schema, place)
        return self.record(self._function_of(schema), place)

    def _function_of(self, record: dict[str, Any]) -> str:
        return f"{self.verb}_{record['name'].replace('.', '_')}"


def indented(lines: Iterable[str]) -> Iterator[str]:
    """The lines one level deeper."""
    return (f"    {line}" for line in lines)
