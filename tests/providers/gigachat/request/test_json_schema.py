"""The rows of the table for schemas, and what holds for any schema at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.gigachat.request.json_refs import MAX_NODES, Budget, inlined
from xrouter_asgi.providers.gigachat.request.json_schema import normalised

ALLOWED = {"type", "description", "enum", "items", "properties", "required"}
TYPES = {"object", "array", "string", "number", "integer", "boolean"}


def normal(schema: Any) -> dict[str, Any]:
    return normalised(schema, param="tools[0].function.parameters", budget=Budget())


def member(schema: Any, **root: Any) -> dict[str, Any]:
    """What becomes of a property."""
    found: dict[str, Any] = normal({"type": "object", "properties": {"x": schema}, **root})["properties"]["x"]
    return found


@pytest.mark.parametrize(
    "schema", [None, {}, {"type": "object"}, {"properties": None}, {"type": "object", "required": 1}]
)
def test_no_parameters_are_an_empty_object(schema: Any) -> None:
    assert normal(schema) == {"type": "object", "properties": {}}


def test_parameters_that_are_no_object_become_a_member_of_one() -> None:
    assert normal({"type": "array", "items": {"type": "integer"}}) == {
        "type": "object",
        "properties": {"value": {"type": "array", "description": "", "items": {"type": "integer", "description": ""}}},
        "required": ["value"],
    }


@pytest.mark.parametrize(
    ("schema", "result"),
    [
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"properties": {"y": {}}}, {"type": "object", "properties": {"y": {"type": "string", "description": ""}}}),
        ({"items": {"type": "number"}}, {"type": "array", "items": {"type": "number", "description": ""}}),
        ({"type": "array"}, {"type": "array", "items": {"type": "string", "description": ""}}),
        ({"type": "array", "items": True}, {"type": "array", "items": {"type": "string", "description": ""}}),
        (
            {"type": "array", "items": [{"type": "integer"}, {"type": "string"}]},
            {"type": "array", "items": {"type": "integer", "description": ""}},
        ),
        ({"type": "array", "items": []}, {"type": "array", "items": {"type": "string", "description": ""}}),
        (
            {"prefixItems": [{"type": "boolean"}]},
            {"type": "array", "items": {"type": "boolean", "description": ""}},
        ),
        ({"type": ["string", "null"]}, {"type": "string"}),
        ({"type": ["null", "integer"]}, {"type": "integer"}),
        ({"type": "null"}, {"type": "string"}),
        ({"type": "file"}, {"type": "string"}),
        ({}, {"type": "string"}),
        (True, {"type": "string"}),
        ({"enum": ["a", "b", "a"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"type": "string", "enum": ["a", None]}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "enum": []}, {"type": "string"}),
        ({"enum": [None]}, {"type": "string"}),
        ({"const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"title": "T", "$schema": "s", "$id": "i", "examples": [1], "nullable": True}, {"type": "string"}),
    ],
)
def test_a_node_is_reduced_to_what_gigachat_takes(schema: Any, result: dict[str, Any]) -> None:
    assert member(schema) == {**result, "description": ""}


@pytest.mark.parametrize(
    ("schema", "kind", "description"),
    [
        ({"enum": [1, 2]}, "integer", "One of: 1, 2."),
        ({"enum": [1, 2.5, None]}, "number", "One of: 1, 2.5."),
        ({"enum": ["a", 1]}, "string", "One of: a, 1."),
        ({"type": "integer", "enum": [1, 2], "description": "Level."}, "integer", "Level. One of: 1, 2."),
        ({"const": 5}, "integer", "One of: 5."),
        ({"const": True}, "boolean", "One of: true."),
        ({"type": "string", "format": "date"}, "string", "format: date."),
        ({"type": "integer", "minimum": 0, "maximum": 10}, "integer", "minimum: 0; maximum: 10."),
        ({"type": "boolean", "default": False}, "boolean", "default: false."),
        ({"type": "string", "default": "", "uniqueItems": False}, "string", ""),
        ({"type": "string", "default": None, "description": 5}, "string", ""),
        ({"type": "string", "description": "D.", "pattern": "^a"}, "string", "D. pattern: ^a."),
        ({"type": "object", "additionalProperties": True}, "object", "Any members are allowed."),
        ({"additionalProperties": {"type": "integer"}}, "object", "Any members of type integer are allowed."),
        ({"type": "object", "additionalProperties": False}, "object", ""),
    ],
)
def test_what_gigachat_has_no_word_for_is_said_in_the_description(schema: Any, kind: str, description: str) -> None:
    result = member(schema)
    assert (result["type"], result["description"]) == (kind, description)
    assert "enum" not in result


def test_a_clients_own_description_is_never_cut() -> None:
    assert member({"type": "string", "description": "d" * 5000})["description"] == "d" * 5000


def test_what_is_added_to_a_description_is_bounded() -> None:
    assert len(member({"type": "integer", "enum": list(range(5000))})["description"]) <= 300


@pytest.mark.parametrize("word", ["anyOf", "oneOf"])
def test_a_variant_or_null_is_the_variant(word: str) -> None:
    schema = {word: [{"type": "integer"}, {"type": "null"}], "description": "D."}
    root = normal({"type": "object", "properties": {"x": schema}, "required": ["x"]})
    assert root == {
        "type": "object",
        "properties": {"x": {"type": "integer", "description": "D."}},
        "required": ["x"],
    }


def test_only_null_is_a_string() -> None:
    assert member({"anyOf": [{"const": None}, {"enum": [None]}]}) == {"type": "string", "description": ""}


def test_several_objects_are_merged_and_only_what_all_require_is_required() -> None:
    one = {"type": "object", "properties": {"k": {"const": "one"}, "a": {}}, "required": ["k", "a"]}
    two = {"type": "object", "properties": {"b": {"type": "integer"}, "k": {"const": "two"}}, "required": ["k"]}
    result = member({"oneOf": [one, two]})
    assert set(result["properties"]) == {"k", "a", "b"}
    assert result["required"] == ["k"]
    assert result["description"] == "One of: object with k, a; object with b, k."


def test_several_scalars_are_a_string_that_tells_them() -> None:
    schema = {"anyOf": [{"type": "integer"}, {"type": "string", "format": "date"}]}
    assert member(schema) == {"type": "string", "description": "One of: integer; string (format: date.)."}


def test_variants_of_one_type_keep_it() -> None:
    schema = {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "integer", "maximum": 0}]}
    assert member(schema)["type"] == "integer"


def test_variants_that_are_the_same_say_nothing() -> None:
    assert member({"anyOf": [{"type": "string"}, {"type": "string"}]}) == {"type": "string", "description": ""}


def test_anything_or_anything_is_a_string() -> None:
    assert member({"oneOf": [{}, False]}) == {"type": "string", "description": ""}


def test_literals_are_united() -> None:
    schema = {"anyOf": [{"const": "a"}, {"enum": ["b", "a"]}]}
    assert member(schema) == {"type": "string", "description": "", "enum": ["a", "b"]}


def test_a_list_or_a_scalar_is_the_list() -> None:
    result = member({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]})
    assert (result["type"], result["items"]["type"]) == ("array", "integer")
    assert result["description"] == "One of: string; array."


def test_literals_among_other_variants_are_told() -> None:
    assert member({"anyOf": [{"enum": ["low", "high"]}, {"type": "integer"}]}) == {
        "type": "string",
        "description": "One of: string low, high; integer.",
    }


def test_anything_or_a_list_tells_both() -> None:
    assert member({"anyOf": [{}, {"type": "object"}]})["description"] == "One of: anything; object with any members."


def test_all_of_is_merged() -> None:
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
            {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
            {"description": "Both."},
            {"type": "string"},
        ],
        "properties": {"c": {}},
    }
    result = member(schema)
    assert (list(result["properties"]), result["required"]) == (["c", "a", "b"], ["a", "b"])


def test_an_untyped_part_leaves_the_type_to_the_others() -> None:
    assert member({"allOf": [{"enum": []}, {"type": "integer"}]})["type"] == "integer"


@pytest.mark.parametrize("word", ["$defs", "definitions"])
def test_local_references_are_inlined_under_their_description(word: str) -> None:
    target = {"type": "object", "description": "T.", "properties": {"a": {"type": "integer"}}}
    schema = {"$ref": f"#/{word}/T", "description": "Mine."}
    assert member(schema, **{word: {"T": target}}) == {
        "type": "object",
        "description": "Mine.",
        "properties": {"a": {"type": "integer", "description": ""}},
    }


def test_a_reference_to_a_reference_is_followed() -> None:
    defs = {"a/b": {"$ref": "#/$defs/c~0d"}, "c~d": {"$ref": "#/$defs/%C3%A9"}, "é": {"type": "integer"}}
    assert member({"$ref": "#/$defs/a~1b"}, **{"$defs": defs}) == {"type": "integer", "description": ""}


def test_a_reference_may_point_into_an_array_or_to_a_boolean() -> None:
    defs = {"V": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "any": True}
    assert member({"$ref": "#/$defs/V/anyOf/1"}, **{"$defs": defs})["type"] == "boolean"
    assert member({"$ref": "#/$defs/any"}, **{"$defs": defs})["type"] == "string"


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.org/s.json",
        "other.json#/a",
        "#/$defs/Gone",
        "#/$defs/list/9",
        "#/$defs/list",
        "#anchor",
        "#properties",
        "",
        f"#/$defs/list/{'9' * 5000}",
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(reference: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        member({"$ref": reference}, **{"$defs": {"list": [{}]}})
    assert (refused.value.param, refused.value.code) == ("tools[0].function.parameters", "invalid_value")


@pytest.mark.parametrize(
    ("reference", "defs"),
    [
        ("#", {}),
        ("#/$defs/T", {"T": {"type": "object", "properties": {"next": {"$ref": "#/$defs/T"}}}}),
        ("#/$defs/T", {"T": {"$ref": "#/$defs/T"}}),
        ("#/$defs/T", {"T": {"$ref": "#/$defs/U"}, "U": {"$ref": "#/$defs/T"}}),
        ("#/$defs/T", {"T": {"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]}}),
        ("#/$defs/0", {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(2000)}),
        ("#/$defs/0", {str(n): {"items": {"$ref": f"#/$defs/{n + 1}"}} for n in range(2000)}),
    ],
)
def test_a_cycle_or_an_endless_chain_ends_in_a_generic_object(reference: str, defs: dict[str, Any]) -> None:
    assert '"object"' in str(normal({"properties": {"x": {"$ref": reference}}, "$defs": defs})).replace("'", '"')


def test_a_schema_that_explodes_is_refused() -> None:
    defs = {str(n): {"properties": {side: {"$ref": f"#/$defs/{n + 1}"} for side in "lr"}} for n in range(30)}
    with pytest.raises(InvalidRequest, match=str(MAX_NODES)):
        normal({"$ref": "#/$defs/0", "$defs": {**defs, "30": {}}})


def test_the_functions_of_a_request_share_what_their_schemas_may_expand_to() -> None:
    budget = Budget()
    schema: dict[str, Any] = {"properties": {str(n): {} for n in range(MAX_NODES // 2)}}
    normalised(schema, param="x", budget=budget)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_NODES} nodes"):
        normalised(schema, param="x", budget=budget)


LONG = "x" * (1 << 20)


@pytest.mark.parametrize(
    "definition",
    [
        {"description": LONG},
        {"enum": [LONG]},
        {"properties": {LONG: {}}},
        {"properties": [LONG]},
        {"anyOf": {"a": LONG}},
        {"anyOf": [LONG]},
        {"items": [LONG]},
        {"properties": {"a": LONG}},
        {"not": LONG},
        {LONG: 1},
    ],
)
@pytest.mark.parametrize(
    "expand", [lambda schema: normal(schema), lambda schema: inlined(schema, strict=False, param="x")]
)
def test_a_long_text_is_not_repeated_by_references(
    definition: dict[str, Any], expand: Callable[[dict[str, Any]], object]
) -> None:
    def schema(times: int) -> dict[str, Any]:
        properties = {str(n): {"$ref": "#/$defs/long"} for n in range(times)}
        return {"type": "object", "properties": properties, "$defs": {"long": definition}}

    expand(schema(3))
    with pytest.raises(InvalidRequest, match="expands to more than 4 MiB"):
        expand(schema(5))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
references = st.sampled_from(["#", "#/$defs/A", "#/$defs/B", "#/properties/x"])


def nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    words: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from([*TYPES, "null", "odd", 5]) | st.lists(st.sampled_from([*TYPES, "null"]), max_size=3),
        "properties": st.dictionaries(st.sampled_from("xyz"), inner, max_size=3) | json_values,
        "required": st.lists(st.sampled_from("xyz"), max_size=3) | json_values,
        "items": inner | st.lists(inner, max_size=2) | json_values,
        "prefixItems": st.lists(inner, max_size=2),
        "anyOf": st.lists(inner, max_size=3) | json_values,
        "oneOf": st.lists(inner, max_size=3),
        "allOf": st.lists(inner, max_size=3),
        "enum": st.lists(json_values, max_size=3) | json_values,
        "const": json_values,
        "additionalProperties": inner | st.booleans(),
        "description": st.text(max_size=5) | json_values,
        "default": json_values,
        "$ref": references,
        "not": inner,
    }
    return st.fixed_dictionaries({}, optional=words)


schemas = st.recursive(st.booleans() | st.just({}) | json_values, nodes, max_leaves=12)


def check(node: Any) -> None:
    assert isinstance(node, dict)
    assert node.keys() <= ALLOWED
    assert node["type"] in TYPES
    assert isinstance(node.get("description", ""), str)
    assert ("properties" in node) is (node["type"] == "object")
    assert ("items" in node) is (node["type"] == "array")
    if "enum" in node:
        assert node["type"] == "string"
        assert node["enum"]
        assert all(isinstance(value, str) for value in node["enum"])
    if "required" in node:
        assert node["required"]
        assert set(node["required"]) <= node["properties"].keys()
    for child in [*node.get("properties", {}).values(), *([node["items"]] if "items" in node else [])]:
        assert "description" in child
        check(child)


def test_variants_that_are_alike_leave_no_empty_description() -> None:
    assert normal({"anyOf": [{"type": "object"}, {"type": "object"}]}) == {"type": "object", "properties": {}}


@given(schemas, schemas, schemas)
def test_any_schema_becomes_one_that_gigachat_takes_and_stays_so(root: Any, a: Any, b: Any) -> None:
    schema = {**(root if isinstance(root, dict) else {"properties": {"x": root}}), "$defs": {"A": a, "B": b}}
    try:
        result = normal(schema)
    except InvalidRequest:  # a reference to what is no schema, or a flood
        return
    check(result)
    assert result["type"] == "object"
    assert normal(result) == result
