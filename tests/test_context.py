from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import xrouter_asgi
from xrouter_asgi.context import Principal, RequestContext, Usage, matches, stem
from xrouter_asgi.decision import Decision


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, Usage(3, 4)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(3)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}, Usage(3, 0, 2)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": None}}, Usage(3)),
        ({"prompt_tokens": 3, "prompt_tokens_details": None, "completion_tokens": None}, Usage(3)),
        ({"prompt_tokens": 3, "completion_tokens": -4}, Usage(3)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4}}, Usage(9, 0, 0, 4)),
        ({"prompt_tokens": 9, "cache_creation_input_tokens": 4}, Usage(9, 0, 0, 4)),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": {"cache_write_tokens": 4, "cache_write_1h_tokens": 3}},
            Usage(9, 0, 0, 4, 0, 3),
        ),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 5, "prompt_cache_miss_tokens": 4}, Usage(9, 0, 5)),  # DeepSeek
        ({"prompt_tokens": 9, "precached_prompt_tokens": 5}, Usage(9, 0, 5)),
        (
            {"prompt_tokens": 3, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}},
            Usage(3, 9, 0, 0, 4),
        ),
        (
            {"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}},
            Usage(3, 9, 0, 0, 4),
        ),
        (
            # xAI counts reasoning apart.
            {
                "prompt_tokens": 3,
                "completion_tokens": 9,
                "total_tokens": 16,
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(3, 13, 0, 0, 4),
        ),
        ({"prompt_tokens": -3}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": "three"}, None),
        ({"completion_tokens": 4}, None),
        ({}, None),
        (None, None),
        ([3, 4], None),
    ],
)
def test_usage_is_what_can_be_counted(value: object, usage: Usage | None) -> None:
    assert Usage.read(value) == usage


def test_the_total_is_the_sum() -> None:
    assert Usage(3, 4, 2).total_tokens == 7


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("gpt-4o", "gpt-4o", ""),
        ("gpt-4o", "gpt-4", None),
        ("*", "gpt-4o", "gpt-4o"),
        ("gpt-*", "gpt-4o", "4o"),
        ("*-mini", "gpt-4o-mini", "gpt-4o"),
        ("a-*-b", "a-x-b", "x"),
        ("a-*-b", "a--b", ""),
        ("a-*-b", "a-b", None),
        ("gpt-?", "gpt-4", None),
        ("gpt-[45]", "gpt-4", None),
        ("gpt-*", "GPT-4o", None),
    ],
)
def test_a_star_stands_for_anything_and_nothing_else_does(pattern: str, name: str, found: str | None) -> None:
    assert stem(pattern, name) == found
    assert matches(pattern, name) == Principal("id", models=(pattern,)).may_use(name) == (found is not None)


def scope(*ids: bytes) -> dict[str, Any]:
    return {"type": "http", "headers": [(b"accept", b"*/*"), *((b"x-request-id", value) for value in ids)]}


def test_a_copied_scope_has_the_same_context() -> None:
    outer = scope()
    context = RequestContext.of(outer)
    assert RequestContext.of(outer) is context
    assert RequestContext.of(dict(outer)) is context


def test_two_requests_have_two_ids() -> None:
    first, second = RequestContext.of(scope()).request_id, RequestContext.of(scope()).request_id
    assert first != second
    assert first.startswith("req_")
    assert len(first) == 36


def test_a_well_formed_request_id_of_the_client_is_kept() -> None:
    assert RequestContext.of(scope(b"Abc-1_2.3")).request_id == "Abc-1_2.3"
    assert RequestContext.of(scope(b"x" * 64)).request_id == "x" * 64


@pytest.mark.parametrize("wanted", [b"", b"x" * 65, b"a b", b"a\nb", b"abc\n", b"\xff", b"a;b", "é".encode()])
def test_any_other_request_id_is_replaced(wanted: bytes) -> None:
    assert RequestContext.of(scope(wanted)).request_id.startswith("req_")


def test_only_the_first_request_id_is_looked_at() -> None:
    assert RequestContext.of(scope(b"a b", b"good")).request_id.startswith("req_")


def test_a_scope_without_headers_gets_a_context() -> None:
    assert RequestContext.of({"type": "lifespan"}).request_id.startswith("req_")


def test_a_foreign_value_under_our_key_is_replaced() -> None:
    foreign: dict[str, Any] = {"type": "http", "xrouter": "mine"}
    assert RequestContext.of(foreign) is foreign["xrouter"]


def writers_of_facts() -> dict[str, set[str]]:
    """The modules that assign to each field of a context, or of a decision. The router counts as one, and so do the
    tracers, of which a request has one."""
    package = Path(xrouter_asgi.__file__).parent
    found: dict[str, set[str]] = {each.name: set() for part in (RequestContext, Decision) for each in fields(part)}
    for file in package.rglob("*.py"):
        module = file.relative_to(package).as_posix()
        objects = {"self"} if module == "context.py" else {"context", "_context", "decision"}
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value).rpartition(".")[2] in objects:
                    found.get(target.attr, set()).add(_part(module))
    return found


def _part(module: str) -> str:
    return "router" if module.startswith("router/") else "tracer" if module.endswith("_tracer.py") else module


def test_each_field_of_a_request_and_of_its_decision_has_one_writer() -> None:
    writers = writers_of_facts()
    assert writers["error"] == {"context.py"}
    by_host = {"principal": {"context.py", "middleware/auth/middleware.py"}}  # the host says it by `vouch`
    # What stands beside the router, and never before it.
    for name in ("principal", "endpoint"):
        writers[name] -= {"admin/app.py", "landing.py", "middleware/docs/docs.py"}
    assert {name: modules for name, modules in writers.items() if len(modules) > 1} == by_host


def test_a_scope_is_copied_only_to_put_the_first_context_in() -> None:
    outside: dict[str, Any] = {"type": "http", "headers": []}
    inside, context = RequestContext.within(outside)
    assert "xrouter" not in outside
    assert RequestContext.of(inside) is context
    assert RequestContext.within(inside) == (inside, context)
    assert RequestContext.within(inside)[0] is inside
