"""A configuration of LiteLLM, from which each key is taken once; what is left is told, so that nothing gets lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .reasons import NO_COUNTERPART

_REFERENCE = "os.environ/"
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


class Untaken:
    """What could not be taken over, and why, in the order in which it was found."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], list[str]] = {}

    def add(self, where: str, sentence: str) -> None:
        """Tell about a place, in a sentence that its name begins."""
        alike = re.sub(r"\[\d+\]", "[]", where), sentence
        self._places.setdefault(alike, []).append(where)

    def lines(self) -> list[str]:
        """A line for each reason at each key, however many deployments have it."""
        return [
            f"{places[0]}{f' and {len(places) - 1} more like it' if places[1:] else ''}: {sentence}"
            for (_, sentence), places in self._places.items()
        ]


class Section:
    """A table of the configuration. Null counts as left out.

    Args:
        where: Its path in the file.
        table: What stands there. Anything but a table is told, and counts as an empty one.
    """

    def __init__(self, where: str, table: Any, untaken: Untaken) -> None:
        self.where = where
        self._untaken = untaken
        if not isinstance(table, Mapping | None):
            untaken.add(where, "is no table.")
            table = None
        self._left = {str(key): value for key, value in (table or {}).items() if value is not None}

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._left))

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def take(self, key: str) -> Any:
        return self._left.pop(key, None)

    def fill_in(self, values: Mapping[str, Any]) -> None:
        """Add what the table does not have itself."""
        self._left = {**values, **self._left}

    def text(self, key: str) -> str | None:
        """A text, or a number as one. An empty one counts as left out."""
        value = self.take(key)
        if isinstance(value, bool | list | Mapping):
            self.tell(key, "is no text.")
            return None
        return None if value is None else str(value) or None

    def texts(self, key: str) -> list[str]:
        """A list of texts, or one text."""
        value = self.take(key)
        found = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(each, str) for each in found):
            self.tell(key, "is no list of texts.")
            return []
        return found

    def number(self, key: str) -> float | None:
        """A number above 0, or a text that says one."""
        value = self.take(key)
        if value is None:
            return None
        try:
            number = float("nan" if isinstance(value, bool) else value)
        except (TypeError, ValueError):
            number = 0.0
        if not 0 < number < float("inf"):
            self.tell(key, f"is {value!r}, and no number above 0.")
            return None
        return int(number) if number.is_integer() else number

    def whole(self, key: str) -> int | None:
        """A whole number above 0."""
        number = self.number(key)
        return None if number is None else max(1, round(number))

    def flag(self, key: str) -> bool | None:
        """Whether something is on; None if the file does not say."""
        value = self.take(key)
        return None if value is None else str(value).lower() in ("true", "1", "yes", "on")

    def section(self, key: str) -> Section:
        return Section(self._path(key), self.take(key), self._untaken)

    def sections(self, key: str) -> list[Section]:
        """A list of tables."""
        value = self.take(key)
        if not isinstance(value, list | None):
            self.tell(key, "is no list.")
            value = None
        return [Section(f"{self._path(key)}[{n}]", each, self._untaken) for n, each in enumerate(value or ())]

    def mapping(self, key: str) -> dict[str, Any]:
        """A table with keys of the user's own."""
        return self.section(key)._left

    def tell(self, key: str, sentence: str) -> None:
        self._untaken.add(self._path(key), sentence)

    def close(self, reasons: Mapping[str, str]) -> None:
        """Tell of every key that nobody took, with its reason if it has one."""
        for key in self._left:
            if reason := reasons.get(key, NO_COUNTERPART):
                self.tell(key, reason)

    def _path(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key


class Variables:
    """The environment variables that the settings refer to, and the secrets that stood in the file itself."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._written: dict[str, str] = {}
        self.needed: dict[str, None] = {}

    def secret(self, section: Section, key: str, value: str, variable: str) -> str:
        """The reference for a secret. One that stands in the file itself is to be put into `variable`."""
        name = referred(value)
        if name is None:
            name = self._named(variable, value)
            section.tell(key, f"is written out. Secrets are references here: set {name} to it.")
        self.needed[name] = None
        return f"env:{name}"

    def header(self, section: Section, name: str, value: Any, variable: str) -> str:
        """The value of a header: as it is, unless it is a secret."""
        text = str(value)
        if referred(text) is None and not _SECRET_NAME.search(name):
            return text
        return self.secret(section, name, text, variable)

    def address(self, section: Section, key: str) -> str | None:
        """An address: what stands there, or now in the variable that it names; without either, one to be replaced."""
        text = section.text(key)
        name = referred(text or "")
        if name is None:
            return text
        if value := self._environment.get(name):
            return value
        stand_in = f"https://{name.lower().replace('_', '-')}.invalid"  # RFC 6761: leads nowhere
        section.tell(key, f"is in {name}, which is not set here. Write it in the place of {stand_in}")
        return stand_in

    def expect(self, name: str) -> str:
        """The reference to a variable that the user has to set."""
        self.needed[name] = None
        return f"env:{name}"

    def _named(self, variable: str, value: str) -> str:
        number, name = 1, variable
        while self._written.setdefault(name, value) != value:
            number += 1
            name = f"{variable}_{number}"
        return name


def referred(value: str) -> str | None:
    """The environment variable that a value of LiteLLM's names."""
    return value.removeprefix(_REFERENCE) if value.startswith(_REFERENCE) else None


def first_of(values: Iterable[Any]) -> Any:
    """The first that is there."""
    return next((value for value in values if value is not None), None)
