"""Embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .house import EMBEDDINGS, House, embeddings, routed
from .recording import Ask, Case, Make, post

FLOATS = ([0.5, -0.25, 1.0], [0.1, 2.0, 0.0])
PACKED = ("AAAAPwAAgL4AAIA/", "zczMPQAAAEAAAAAA")

WRONG: Sequence[object] = ("", [], [""], 7, None, [["a"]], ["a", 1], [1, "a"], [[]], {"a": 1})


def of(*vectors: object) -> Make:
    return lambda tape: routed(House(embeddings(*vectors)))


def ask(input: object = ("Hello", "пруд"), **more: Any) -> Ask:
    return post(EMBEDDINGS, {"model": "m", "input": input, **more})


CASES = [
    Case("as-floats", of(*FLOATS), [ask(), ask(encoding_format="float")]),
    Case("in-base64", of(*FLOATS), [ask(encoding_format="base64")]),
    Case("from-base64", of(*PACKED), [ask(), ask(encoding_format="float")]),
    Case("left-in-base64", of(*PACKED), [ask(encoding_format="base64")]),
    Case(
        "inputs",
        of([0.5]),
        [ask("Hello"), ask([1, 2, 3]), ask([[1, 2], [3]]), ask("Hello", dimensions=1, user="anna")],
    ),
    Case("without-v1", of([0.5]), [post("/embeddings", {"model": "m", "input": "Hello"})]),
    Case("that-are-none", of([1e300]), [ask(encoding_format="base64")]),
    Case("that-are-no-base64", of("A"), [ask()]),
    Case(
        "wrong-input",
        of([0.5]),
        [
            *map(ask, WRONG),
            post(EMBEDDINGS, {"model": "m"}),
            ask("Hello", encoding_format="hex"),
            ask("Hello", dimensions=0),
        ],
    ),
    Case("of-an-unknown-model", of([0.5]), [post(EMBEDDINGS, {"model": "n", "input": "Hello"})]),
]
