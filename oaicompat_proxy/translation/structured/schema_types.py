"""The form of a JSON schema, as types that pydantic checks: all keywords that are applied, of every draft.

Other keywords may have any value; they are not applied.

Source: JSON Schema draft 4 to 2020-12, the metaschemas of their validation and applicator vocabularies.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter
from typing_extensions import TypedDict

TAG = "|"
"""The first character of a union branch's name in pydantic's `loc`; such a step is left out of an error's path."""

_TAGS = {bool: "|boolean", dict: "|object", list: "|array", str: "|string"}


def _either(words: str) -> Discriminator:
    return Discriminator(
        lambda value: _TAGS.get(type(value)), custom_error_type="other_type", custom_error_message=f"Should be {words}"
    )


Schema = Annotated[
    Annotated[bool, Tag("|boolean")] | Annotated["SchemaObject", Tag("|object")],
    _either("a schema: an object or a boolean"),
]
Schemas = Annotated[list[Schema], Field(min_length=1)]
Named = dict[str, Schema]
SimpleType = Literal["array", "boolean", "integer", "null", "number", "object", "string"]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Type = Annotated[
    Annotated[SimpleType, Tag("|string")] | Annotated[Annotated[list[SimpleType], Field(min_length=1)], Tag("|array")],
    _either("the name of a type, or an array of such names"),
]
Items = Annotated[
    Annotated[bool, Tag("|boolean")]
    | Annotated["SchemaObject", Tag("|object")]
    | Annotated[list[Schema], Tag("|array")],
    _either("a schema, or an array of schemas"),
]
Dependency = Annotated[
    Annotated[bool, Tag("|boolean")] | Annotated["SchemaObject", Tag("|object")] | Annotated[list[str], Tag("|array")],
    _either("a schema, or an array of names"),
]
Bound = Number | bool
"""A boolean in draft 4, where `maximum` or `minimum` has the number."""

SchemaObject = TypedDict(
    "SchemaObject",
    {
        "$schema": str,
        "$id": str,
        "$ref": str,
        "$defs": Named,
        "definitions": Named,
        "type": Type,
        "enum": list[Any],
        "const": Any,
        "multipleOf": Annotated[float, Field(gt=0, allow_inf_nan=False)],
        "maximum": Number,
        "exclusiveMaximum": Bound,
        "minimum": Number,
        "exclusiveMinimum": Bound,
        "maxLength": Count,
        "minLength": Count,
        "pattern": str,
        "items": Items,
        "prefixItems": Schemas,
        "additionalItems": Schema,
        "contains": Schema,
        "maxItems": Count,
        "minItems": Count,
        "uniqueItems": bool,
        "maxContains": Count,
        "minContains": Count,
        "properties": Named,
        "patternProperties": Named,
        "additionalProperties": Schema,
        "propertyNames": Schema,
        "required": list[str],
        "maxProperties": Count,
        "minProperties": Count,
        "dependentRequired": dict[str, list[str]],
        "dependentSchemas": Named,
        "dependencies": dict[str, Dependency],
        "allOf": Schemas,
        "anyOf": Schemas,
        "oneOf": Schemas,
        "not": Schema,
        "if": Schema,
        "then": Schema,
        "else": Schema,
    },
    total=False,
)

SCHEMA: TypeAdapter[Any] = TypeAdapter(Schema)
