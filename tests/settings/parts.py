"""What an object is made of, so that two of them can be compared."""

from __future__ import annotations

import re
import ssl
from datetime import tzinfo
from enum import Enum
from functools import partial
from pathlib import Path
from random import Random
from threading import Thread
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, TypeAlias

from pydantic import BaseModel
from sqlalchemy import Engine, MetaData

Leaves: TypeAlias = dict[str, object]

_VALUES = (str, bytes, int, float, complex, type(None), Enum, Path, re.Pattern, tzinfo)
_OPAQUE = (type, ModuleType, CodeType, BuiltinFunctionType, Random, Thread, BaseModel, MetaData)
"""Settings are opaque, too: what keeps them has not used them. Tables of a database are the same for all settings."""


def leaves(root: object) -> Leaves:
    """Every value inside an object, by the way that leads there."""
    found: Leaves = {}
    seen: dict[int, object] = {}  # also keeps them alive, so that no id comes twice
    left = [("", root)]
    while left:
        way, each = left.pop()
        if isinstance(each, _VALUES):
            found[way] = each
            continue
        found[way] = f"{type(each).__module__}.{type(each).__qualname__}"
        if id(each) in seen or isinstance(each, _OPAQUE):
            found[way] = f"{found[way]} {getattr(each, '__qualname__', '')}"
            continue
        seen[id(each)] = each
        left += [(f"{way}{step}", inner) for step, inner in _inside(each)]
    return found


def _inside(each: Any) -> list[tuple[str, object]]:
    match each:
        case dict() | MappingProxyType():
            return [(f"[{_name(key)}]", value) for key, value in each.items()]
        case set() | frozenset():
            return [("{}", sorted(map(repr, each)))]
        case list() | tuple():
            return [(f"[{index}]", value) for index, value in enumerate(each)]
        case partial():
            return [(".func", each.func), (".args", each.args), (".keywords", each.keywords)]
        case MethodType():
            return [(".self", each.__self__), (".name", each.__name__)]
        case FunctionType():
            return [
                (".name", each.__qualname__),
                *((f".cell{n}", cell) for n, cell in enumerate(each.__closure__ or ())),
            ]
        case CellType():
            return [("", each.cell_contents)]
        case ssl.SSLContext():
            return [(".verify", int(each.verify_mode)), (".trusted", sorted(each.get_ca_certs(binary_form=True)))]
    slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
    if type(each).__module__.startswith("sqlalchemy."):
        return (
            [(".url", str(each.url))] if isinstance(each, Engine) else []
        )  # some of its slots fail when they are read
    names = [*getattr(each, "__dict__", ()), *(name for name in slots if hasattr(each, name))]
    return [(f".{name}", getattr(each, name)) for name in names if not name.startswith("__")]


def _name(key: object) -> str:
    """Text for a key of a dictionary, without the address of an object."""
    return repr(key) if isinstance(key, _VALUES) else re.sub(r" at 0x\w+", "", repr(key))
