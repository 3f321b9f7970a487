from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.wire import codec
from xrouter_asgi.wire.codec import MAX_DEPTH, MAX_VALUES, decode, encode, parse_request

# Text that tempts a search in raw bytes to take content for structure.
nasty = st.sampled_from(
    [
        "model",
        '"model"',
        '"model":"x"',
        '\\"model\\":',
        '{"model":"x"}',
        "\\",
        '"',
        ",",
        "]}",
        "stream_options",
        "é",
        "😀",
    ]
)
text = nasty | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(text, values, max_size=5)


@given(values)
def test_what_is_encoded_decodes_to_the_same(value: Any) -> None:
    assert json.loads(encode(value)) == value


def test_a_lone_surrogate_is_encoded_as_an_escape() -> None:
    assert encode({"a": "\ud800é"}) == b'{"a":"\\ud800\\u00e9"}'


def test_a_number_that_json_cannot_hold_is_encoded_as_null() -> None:
    assert encode([math.inf, math.nan]) == b"[null,null]"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"a":NaN}',
        b"-Infinity",
        b'"\xff"',
        b'["\\ud800"',
        b'["\\ud800",NaN]',
        b"[" * 300 + b"]" * 300,
        b"<html>",
        b"{} {}",
    ],
)
def test_what_is_not_json_is_not_decoded(data: bytes) -> None:
    with pytest.raises(ValueError, match="line 1"):
        decode(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'"\\ud83d"', "\ud83d"),
        (b'"\\uDE00\\uD83D"', "\ude00\ud83d"),
        (b'"\\ud83d\\ud83d\\ude00"', "\ud83d\U0001f600"),
        (b'"\\\\ud83d\\ude00"', "\\ud83d\ude00"),
        (b'{"\\ud83d":"\\\\\\ud83d"}', {"\ud83d": "\\\ud83d"}),
        ('"é\\ud83d"'.encode(), "é\ud83d"),
    ],
)
def test_half_a_surrogate_pair_of_an_upstream_stays_one(data: bytes, value: object) -> None:
    assert decode(data) == value
    assert json.loads(encode(value)) == value


def test_half_a_pair_makes_nothing_else_of_an_upstream_less_strict() -> None:
    for wrong in (b'["\\ud800"', b'["\\ud800",NaN]', b'["\\ud800","\xff"]', b"[" * 300 + b'"\\ud800"' + b"]" * 300):
        with pytest.raises(ValueError, match="line 1"):
            decode(wrong)


def test_half_a_pair_beside_a_number_beyond_a_double_is_encoded() -> None:
    assert encode(["\ud800", math.inf]) == b'["\\ud800",null]'


def test_u2028_survives_decoding() -> None:
    assert decode('"a\u2028b"'.encode()) == "a\u2028b"


@given(objects, st.booleans(), st.sampled_from([None, 0, 1]))
def test_a_request_parses_to_what_json_says(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    assert parse_request(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value


@given(objects, text, values, st.booleans(), st.sampled_from([0, 64 << 10]))
def test_a_key_given_twice_is_refused_whatever_is_said(
    value: dict[str, Any], name: str, again: Any, ascii_only: bool, spaces: int
) -> None:
    written = [
        json.dumps(one, ensure_ascii=ascii_only).encode()[1:-1] for one in ({**value, name: again}, {name: again})
    ]
    with pytest.raises(InvalidRequest, match="is given twice"):
        parse_request(b"{" + b",".join(written) + b" " * spaces + b"}")


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(
    st.recursive(text, lambda inner: st.lists(inner, min_size=1, max_size=2) | st.dictionaries(text, inner)),
    st.integers(0, 70),
)
def test_a_request_is_refused_exactly_when_it_is_too_deep(value: Any, levels: int) -> None:
    for _ in range(levels):
        value = [value]
    value = {"deep": value, "many brackets": '[{"' * MAX_DEPTH}
    body = json.dumps(value).encode()
    if depth(value) <= MAX_DEPTH:
        assert parse_request(body) == value
    else:
        with pytest.raises(InvalidRequest, match="nested deeper than 64 levels"):
            parse_request(body)


@pytest.mark.parametrize("containers", [2, MAX_DEPTH])
def test_a_request_holds_at_most_so_many_values(containers: int) -> None:
    def body(values: int) -> bytes:
        rest = values - containers
        return b'{"a":' + b"[" * (containers - 1) + b"0," * (rest - 1) + b"0" + b"]" * (containers - 1) + b"}"

    assert parse_request(body(MAX_VALUES)).keys() == {"a"}
    with pytest.raises(InvalidRequest, match="more than 250000 values"):
        parse_request(body(MAX_VALUES + 1))


def test_a_request_with_too_many_strings_is_refused_even_without_commas() -> None:
    with pytest.raises(InvalidRequest, match="more than 250000 values"):
        parse_request(b"[" * 65 + b'""' * (2 * MAX_VALUES))


def test_commas_in_text_are_no_values() -> None:
    body = json.dumps({"a": "," * MAX_VALUES, "b": '["' * 100}).encode()
    assert parse_request(body)["a"] == "," * MAX_VALUES


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value at line 1, column 1"),
        (b"{", "line 1, column 2"),
        (b'{"a":1}\n x', "Extra data at line 2, column 2"),
        (b"\xef\xbb\xbf{}", "it starts with a byte order mark"),
        ('{"a":1}'.encode("utf-16"), "it is not valid UTF-8"),
        (b'{"a":"\xff"}', "it is not valid UTF-8"),
        (b"[]", "the top level must be an object"),
        (b'"text"', "the top level must be an object"),
        (b'{"a":NaN}', "NaN is not JSON"),
        (b'{"a":-Infinity}', "-Infinity is not JSON"),
        (b'{"a":1e999}', "the number 1e999 is too large"),
        (b'{"a":-1e999}', "the number -1e999 is too large"),
        (b'{"a":' + b"9" * 5000 + b"}", "a number has too many digits"),
        (b'{"a":1,"b":2,"a":3}', "the key 'a' is given twice"),
        (b'{"x":{"model":1,"mod\\u0065l":2}}', "the key 'model' is given twice"),
        (b'{"a":"\\ud800"}', "half of a surrogate pair"),
        (b'{"\\uDFFF":1}', "half of a surrogate pair"),
        (b'{"a":' + b"[" * 100_000, "nested deeper than 64 levels"),
        (b"{" + b"]" * 100_000 + b"[" * 100, "Expecting property name enclosed in double quotes at line 1, column 2"),
        (b'{"a":"[[[', "Unterminated string"),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(body)
    assert reason in caught.value.message
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, None, None)


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_request(b'{"a":"\\ud83d\\ude00","b":"\\\\ud800"}') == {"a": "😀", "b": "\\ud800"}


def test_deep_json_within_the_bounds_of_the_parser_but_not_of_python_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bound of the interpreter may lie lower than ours, deep in a server's stack."""

    class Decoder:
        def decode(self, text: str) -> None:
            raise RecursionError

    monkeypatch.setattr(codec, "_decoder", Decoder())
    with pytest.raises(InvalidRequest, match="nested deeper"):
        parse_request(b'{"a":1,"a":2}')


def test_an_unterminated_string_full_of_quotes_is_looked_at_once() -> None:
    """With a start at each of its quotes this one would take hours."""
    with pytest.raises(InvalidRequest, match="EOF while parsing a string"):
        parse_request(b"[" * 65 + b'"' + b'\\"' * 1_000_000)


def test_millions_of_closing_brackets_are_looked_at_once() -> None:
    with pytest.raises(InvalidRequest, match="trailing characters at line 1 column 131"):
        parse_request(b"[" * 65 + b"]" * 8_000_000)


@given(st.text(st.sampled_from('\\"a,:[{')), st.integers(1, 5))
def test_the_structure_of_a_text_does_not_depend_on_where_it_is_cut(content: str, piece: int) -> None:
    data = json.dumps({content: [content]}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_PIECE", piece)
        assert (codec._without_strings(data) or b"").replace(b" ", b"") == b"{:[]}"


def test_a_large_body_holds_no_number_of_more_than_100_digits() -> None:
    def large(digits: int) -> bytes:
        return b'{"a":' + b"9" * digits + b"," + b" " * (64 << 10) + b'"b":"%b"}' % (b"1" * 200)

    assert parse_request(large(100))["a"] == 10**100 - 1
    with pytest.raises(InvalidRequest, match="a number has more than 100 digits"):
        parse_request(large(101))


def test_a_key_given_twice_in_a_large_body_is_not_searched_for() -> None:
    with pytest.raises(InvalidRequest, match="a key is given twice, or a number is too large"):
        parse_request(b'{"a":1,"a":2,"b":"%b"}' % (b"x" * (1 << 20)))


def test_a_large_text_from_an_upstream_holds_no_more_than_a_request() -> None:
    with pytest.raises(ValueError, match="more than 250000 values"):
        decode(b"[" + b"[]," * MAX_VALUES + b"[]]")
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        decode(b"[" * 100 + b" " * (64 << 10) + b"]" * 100)
    assert len(decode(b"[" + b"0," * 100_000 + b"0]")) == 100_001


def test_half_a_pair_in_a_megabyte_from_an_upstream_is_refused() -> None:
    with pytest.raises(ValueError, match="hex escape"):
        decode(b'["\\ud83d","%b"]' % (b"x" * (1 << 20)))
