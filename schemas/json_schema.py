"""JSON Schemas of records as they travel in JSON, made from the models (U4).

They follow draft-07, which editors and AsyncAPI know best. What they cannot say is left
to `planstream validate`: see docs/schemas.md.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any, cast

from pydantic.json_schema import (
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
    models_json_schema,
)
from pydantic_core import core_schema

from schemas.avro_format import schema_of
from schemas.json_format import KIND
from schemas.record import Record

DRAFT = "http://json-schema.org/draft-07/schema#"
LOCAL = "#/definitions/{model}"
_MODE: JsonSchemaMode = "validation"


def json_schema_of(model: type[Record]) -> dict[str, Any]:
    """The schema of a model's records in JSON, on its own."""
    named = named_schemas((model,), LOCAL)
    own = named.pop(model.__name__)
    head = {"$schema": DRAFT, "title": model.__name__}
    return {**head, **own, **({"definitions": named} if named else {})}


def named_schemas(
    models: Iterable[type[Record]], ref_template: str
) -> dict[str, dict[str, Any]]:
    """The schemas of models and of all they refer to, by name.

    Args:
        models: whose schemas are wanted.
        ref_template: where a schema is found; has the place `{model}`.
    """
    _, made = models_json_schema(
        [(model, _MODE) for model in models],
        ref_template=ref_template,
        schema_generator=_Generator,
    )
    definitions: dict[str, dict[str, Any]] = made.get("$defs", {})
    return definitions


class _Generator(GenerateJsonSchema):
    """Says what pydantic's own generator leaves out."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Add the kind of records that share a topic, and what members mean."""
        made = super().model_schema(schema)
        model = cast("type[Record]", schema["cls"])
        properties: dict[str, Any] = made.get("properties", {})
        for name, meaning in _meanings(model).items():
            properties[name].setdefault("description", meaning)
        if model.shares_topic:
            made["properties"] = {KIND: {"const": model.__name__}, **properties}
            made["required"] = [KIND, *made.get("required", [])]
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: a title would repeat the member's name."""
        del schema
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Write the default of an opaque value as the JSON that it is."""
        made = super().default_schema(schema)
        if made.get("type") == "object" and isinstance(made.get("default"), str):
            made["default"] = json.loads(made["default"])
        return made

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        """Say that numbers are finite: 1e400 is infinite once it is read."""
        made = super().float_schema(schema)
        return {**made, "maximum": sys.float_info.max}


@cache
def _meanings(model: type[Record]) -> dict[str, str]:
    """What the Avro schema, the contract of record, says of a model's members."""
    fields = schema_of(model)["fields"]
    told = {field["name"]: field.get("doc") for field in fields}
    return {name: _AS_TEXT.sub("", doc) for name, doc in told.items() if doc}


_AS_TEXT = re.compile(r",? (as|JSON) text")
"""True of opaque values in Avro alone."""
