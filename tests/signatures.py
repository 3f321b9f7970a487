"""What signatures mention: the types of ours in the annotations of a class or a function."""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, ForwardRef, get_args

OTHERS = frozenset({"MeterProvider", "MetricReader", "TracerProvider"})
"""OpenTelemetry's, which the package imports for type checkers only."""


def own_modules() -> list[ModuleType]:
    """Those of the package that are imported."""
    return [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "xrouter_asgi"]


def is_own(value: object) -> bool:
    """Whether the package defines this class."""
    return inspect.isclass(value) and value.__module__.split(".")[0] == "xrouter_asgi"


def own_aliases() -> set[tuple[str, int]]:
    """The name and the identity of each alias of a type that the package defines."""
    return {
        (name, id(vars(module)[name]))
        for module in own_modules()
        for name, kind in getattr(module, "__annotations__", {}).items()
        if kind == "TypeAlias"
    }


def mentioned(exported: object) -> Iterator[tuple[str, object]]:
    """The names of the types and aliases of ours that a class, a function or an alias mentions, and what they are."""
    aliases = own_aliases()
    if not (inspect.isclass(exported) or inspect.isfunction(exported)):
        yield from ((part.__name__, part) for part in _classes_in(exported))
    for annotation, names in _annotations(exported):
        for name, value in _names_in(annotation, names):
            if (name, id(value)) in aliases:
                yield name, value
            else:
                yield from ((part.__name__, part) for part in _classes_in(value))


def _annotations(exported: object) -> Iterator[tuple[object, dict[str, Any]]]:
    """Each annotation, and the names that it may use."""
    if inspect.isfunction(exported):
        yield from ((each, exported.__globals__) for each in exported.__annotations__.values())
    elif inspect.isclass(exported):
        for base in filter(is_own, exported.__mro__):
            fields = inspect.get_annotations(base)
            yield from ((each, vars(sys.modules[base.__module__])) for name, each in fields.items() if name[0] != "_")
            for name, member in vars(base).items():
                if name[0] != "_" or name in ("__init__", "__call__"):
                    yield from _annotations(_function_of(member))


def _function_of(member: object) -> object:
    match member:
        case property(fget=getter):
            return getter
        case classmethod() | staticmethod():
            return member.__func__
    return inspect.unwrap(member) if inspect.isfunction(member) else None


def _names_in(annotation: object, names: dict[str, Any]) -> Iterator[tuple[str, object]]:
    text = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
    if not isinstance(text, str):
        yield "", annotation
        return
    for node in ast.walk(ast.parse(text, mode="eval")):
        if isinstance(node, ast.Name) and node.id not in OTHERS and not hasattr(builtins, node.id):
            yield node.id, names[node.id]


def _classes_in(value: object) -> Iterator[type]:
    """The classes of ours in a class or an alias."""
    if is_own(value):
        assert inspect.isclass(value)
        yield value
    for part in value if isinstance(value, list) else get_args(value):
        yield from _classes_in(part)
