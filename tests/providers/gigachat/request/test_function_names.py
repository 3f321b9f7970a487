from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.providers.gigachat.request.functions import FunctionNames


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("get_weather", "get_weather"),
        ("Get2", "Get2"),
        ("get-weather", "get_weather"),
        ("mcp.server/tool", "mcp_server_tool"),
        ("2fast", "f_2fast"),
        ("_private", "f__private"),
        ("-dash", "f__dash"),
        ("web_search", "f_web_search"),
        ("web-search", "f_web_search"),
        ("text2image", "f_text2image"),
        ("погода", "f_______"),
    ],
)
def test_a_name_is_made_safe_and_found_again(name: str, alias: str) -> None:
    names = FunctionNames([name])
    assert names.to_gigachat(name) == alias
    assert names.to_client(alias) == name


def test_a_long_name_is_cut_and_marked() -> None:
    alias = FunctionNames(["x" * 65]).to_gigachat("x" * 65)
    assert len(alias) == 64
    assert re.fullmatch(r"x{55}_[0-9a-f]{8}", alias)


def test_a_safe_name_keeps_itself_when_an_alias_would_collide() -> None:
    names = FunctionNames(["a-b", "a.b", "a_b"])
    assert names.to_gigachat("a_b") == "a_b"
    assert len({names.to_gigachat(name) for name in ("a-b", "a.b", "a_b")}) == 3


def test_an_alias_does_not_depend_on_other_names() -> None:
    assert FunctionNames(["x", "a-b", "y"]).to_gigachat("a-b") == FunctionNames(["a-b"]).to_gigachat("a-b")


def test_a_name_the_model_made_up_stays_as_it_is() -> None:
    assert FunctionNames(["f"]).to_client("g") == "g"


@given(st.lists(st.text(min_size=1, max_size=80), max_size=8))
def test_every_table_is_safe_and_reversible(given_names: list[str]) -> None:
    names = FunctionNames(given_names)
    for name in given_names:
        alias = names.to_gigachat(name)
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", alias)
        assert names.to_client(alias) == name
