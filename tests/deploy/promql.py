"""What an expression of PromQL asks for: its metrics, and the labels that it needs of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_METRIC = re.compile(r"(?<![$\w])(?!(?:and|or|unless|bool|offset)\b)([A-Za-z_]\w*)\b(?!\s*\()(\{[^{}]*\})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([\w\s,]*)\)")


class Asked(NamedTuple):
    """A metric, and the labels that it must have."""

    metric: str
    labels: frozenset[str]


def asked(expression: str) -> Iterator[Asked]:
    """Every metric of an expression, with the labels that select it and those that the expression groups by."""
    plain = _TEXT.sub('""', expression)
    grouped = {label for names in _GROUPING.findall(plain) for label in re.findall(r"\w+", names)}
    for metric, matchers in _METRIC.findall(_GROUPING.sub("", plain)):
        yield Asked(metric, frozenset({*re.findall(r"(\w+)\s*[=!]", matchers), *grouped}))


def values_asked(query: str) -> Asked:
    """What a variable of Grafana asks for by `label_values(SELECTOR, LABEL)`."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found is not None, query
    (selected,) = asked(found[1])
    return Asked(selected.metric, selected.labels | {found[2]})
