"""Python source of functions that follow an Avro schema, one for each record type.

It is annotated, and calls nothing but `schemas.avro_values`: it runs as it is, and a
compiler makes C of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, ClassVar, Final, NamedTuple

from schemas import avro_values
from schemas.avro_made import FUNCTIONS

_SCOPE: Final[dict[str, Any]] = {
    "__name__": "schemas.avro_made",
    "Final": Final,
    **{name: it for name, it in vars(avro_values).items() if name[:2] != "__"},
}
"""What the generated functions use, and where they belong."""


class Made(NamedTuple):
    """The source of a schema's function, with that of all records within."""

    name: str
    """Of the function."""
    text: str

    @property
    def digest(self) -> str:
        """Tells it from what was made of another schema, or in another way."""
        return sha256(self.text.encode()).hexdigest()

    def function(self) -> Any:
        """The function itself: made ahead of time, or now."""
        if found := FUNCTIONS.get(self.digest):
            return found
        names = dict(_SCOPE)
        exec(self.text, names)  # noqa: S102 - made here, of our schemas
        return names[self.name]


class Source(ABC):
    """Goes through a schema once; subclasses say what is done with each type.

    What they say are statements, line by line. `place` is where a value comes from or
    goes to, an expression or a variable, as the subclass has it.
    """

    verb: ClassVar[str]
    """Begins the names of the functions."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._lines: list[str] = []
        self._constants = 0
        self._names: set[str] = set()
        self._types: dict[str, Any] = {}
        self._variables = 0

    def make(self) -> Made:
        """The source for the schema, a record's; once.

        Raises:
            TypeError: The schema has a type that none of ours has.
        """
        name = self._define(self._schema)
        return Made(name, "\n".join(self._lines))

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
        """The name of a constant that the statements can use, a literal."""
        name = f"{self._function_of(self._schema)}_{self._constants}"
        self._constants += 1
        self._lines.append(f"{name}: Final = {value!r}")
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
        if name in self._names:
            raise TypeError(f"two records would be {name} in one schema")
        self._names.add(name)
        self._lines += [*self.function(name, record), ""]
        return name

    def _named(self, schema: dict[str, Any], place: str) -> Iterable[str]:
        if schema["type"] == "enum":
            return self.enum(schema, place)
        return self.record(self._function_of(schema), place)

    def _function_of(self, record: dict[str, Any]) -> str:
        """A name that no function of another model has."""
        names = [self._schema["name"]]
        if record is not self._schema:
            names.append(record["name"])
        return "_".join([self.verb, *(name.rpartition(".")[2] for name in names)])


def indented(lines: Iterable[str]) -> Iterator[str]:
    """The lines one level deeper."""
    return (f"    {line}" for line in lines)
