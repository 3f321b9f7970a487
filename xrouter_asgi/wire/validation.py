"""Turns pydantic's errors into OpenAI's: the literal code, and the path of the parameter as OpenAI writes it.

The discriminators of unions return tags in angle brackets. The location of an error then holds the tag, and no name
that a client sends looks like one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, ErrorDetails

from ..errors import InvalidRequest

Model = TypeVar("Model", bound="WireModel")
_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_JSON_TYPES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "list": "an array",
    "dict": "an object",
    "NoneType": "null",
}


def _let_lists_fail_fast(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == "list":
            node["fail_fast"] = True
        node = node.values()
    elif not isinstance(node, list | tuple):
        return
    for inner in node:
        _let_lists_fail_fast(inner)


class WireModel(BaseModel):
    """A request, or a part of one. Keeps unknown members, because the upstream may know them.

    A list is validated up to its first wrong item: of many errors only one is told, and 127,000 of them would take half
    a second. Tell the variants of a union apart by functions: whenever one is called, other threads may run.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)  # all of them together take 0.1 s to build

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _let_lists_fail_fast(schema)
        return schema

    @classmethod
    def of(cls: type[Model], value: Any) -> Model:
        """Validate a decoded JSON object. Raises InvalidRequest with `code` and `param`."""
        try:
            model: Model = cls.__pydantic_validator__.validate_python(value)  # model_validate(), less its options
        except ValidationError as error:
            raise _as_invalid_request(error.errors(include_url=False)[0]) from None
        return model


def by_member(
    member: str, known: dict[str, str], other: str | None = None, *, absent: str | None = None
) -> Callable[[Any], str | None]:
    """A discriminator for objects: the tag of the text in `member`.

    Args:
        other: The tag of an unknown text.
        absent: The tag of an object without the member, or with null for it.
    """

    def tag(value: Any) -> str | None:
        if isinstance(value, dict):
            kind = value.get(member)
        elif isinstance(value, BaseModel):
            kind = getattr(value, member, None)
        else:
            return None
        return absent if kind is None else known.get(kind, other) if isinstance(kind, str) else None

    tag.__name__ = member
    return tag


def by_type(**tags: str) -> Callable[[Any], str | None]:
    """A discriminator for JSON types: `by_type(str="<text>", list="<parts>")`."""

    def tag(value: Any) -> str | None:
        found = tags.get(type(value).__name__)
        return tags.get("dict") if found is None and isinstance(value, BaseModel) else found

    tag.__name__ = " or ".join(_JSON_TYPES[name] for name in tags)
    return tag


def _as_invalid_request(error: ErrorDetails) -> InvalidRequest:
    param = _path(error["loc"])
    given = error["input"]
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return _missing(param)
        case "union_tag_not_found" | "union_tag_invalid":
            return _no_variant(param, given, str(context.get("discriminator", "")))
        case kind if kind in _EXPECTED:
            return _wrong_type(param, given, _EXPECTED[kind])
        case "literal_error":
            return _invalid(param, "invalid_value", f"expected one of {context['expected']}, but got {_shown(given)}")
        case "greater_than_equal":
            return _invalid(
                param,
                f"{_kind(context['ge'])}_below_min_value",
                f"{_number(given)} is below the minimum {context['ge']}",
            )
        case "less_than_equal":
            return _invalid(
                param,
                f"{_kind(context['le'])}_above_max_value",
                f"{_number(given)} is above the maximum {context['le']}",
            )
        case "too_short":
            return _invalid(param, "empty_array", "it must not be empty")
        case "too_long":
            code = "array_above_max_length" if isinstance(given, list) else "object_above_max_properties"
            return _invalid(param, code, f"at most {context['max_length']} items are allowed")
        case "string_too_short":
            return _invalid(param, "invalid_value", "it must not be an empty string")
        case "string_too_long":
            return _invalid(param, "invalid_value", f"at most {context['max_length']} characters are allowed")
        case "string_pattern_mismatch":
            return _invalid(param, "invalid_value", "it must not hold control characters")
        case _:
            return _invalid(param, "invalid_value", error["msg"])


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not (step.startswith("<") and step.endswith(">")) and step != "[key]":
            path += f".{step}" if path else step
    return path[:256]  # clients choose the keys of `metadata` and `logit_bias`, of any length


def _invalid(param: str, code: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid value for '{param}': {reason}.", code=code, param=param)


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def _wrong_type(param: str, given: object, expected: str) -> InvalidRequest:
    got = _JSON_TYPES.get(type(given).__name__, "something else")
    message = f"Invalid type for '{param}': expected {expected}, but got {got} instead."
    return InvalidRequest(message, code="invalid_type", param=param)


def _no_variant(param: str, given: object, discriminator: str) -> InvalidRequest:
    member = discriminator.removesuffix("()")
    if member in ("role", "type"):
        if not isinstance(given, dict):
            return _wrong_type(param, given, "an object")
        path = f"{param}.{member}"
        if member not in given:
            return _missing(path)
        if not isinstance(given[member], str):
            return _wrong_type(path, given[member], "a string")
        return _invalid(path, "invalid_value", f"{_shown(given[member])} is not supported here")
    return _wrong_type(param, given, member)


def _number(given: object) -> str:
    """A number in words of ordinary length, though a client may send thousands of digits."""
    return "it" if isinstance(given, int) and given.bit_length() > 64 else str(given)


def _kind(bound: object) -> str:
    return "integer" if isinstance(bound, int) else "decimal"


def _shown(given: object) -> str:
    return f"'{given[:64]}'" if isinstance(given, str) else _JSON_TYPES.get(type(given).__name__, "something else")
