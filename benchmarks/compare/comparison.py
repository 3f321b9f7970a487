"""What a comparison found: as tables in Markdown, as JSON, as a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..plot import bars
from ..report import table
from ..turns import Failed, Turns, cells, ratio

REFERENCE = "forwarder, httpx over aiohttp"
"""The server to whose turns those of the others are set in a ratio."""
CONSTANT = "constant answer"
"""The server that has no streams."""
TITLE = "CPU time as a multiple of that of a bare forwarder, with the lowest and the highest turn"

_MEASURES = {
    "cpu": ("CPU time", "{:,.0f} µs"),
    "rate": ("answers a second", "{:,.0f}"),
    "p50": ("p50", "{:,.1f} ms"),
    "p99": ("p99", "{:,.1f} ms"),
}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Seconds of CPU until the first answer, MiB after it, and MiB after all others."""

    started: float
    idle: float
    after: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All turns of all servers in all scenarios.

    Attributes:
        about: When and where, and what was compared.
        scenarios: By their titles; the turns by the names of the servers.
    """

    about: Mapping[str, str]
    scenarios: Mapping[str, Mapping[str, Turns | Failed]]
    footprints: Mapping[str, Footprint]

    def tables(self) -> str:
        """A table for each measure, one of memory, and who failed."""
        tables = []
        for measure, (title, form) in _MEASURES.items():
            columns = [cells(turns, REFERENCE, measure, form) for turns in self.scenarios.values()]
            rows = [(name, *(column.get(name, "–") for column in columns)) for name in self.footprints]
            tables.append(table((title, *self.scenarios), rows))
        memory = [
            (name, f"{each.started:.1f}", f"{each.idle:.0f}", f"{each.after:.0f}")
            for name, each in self.footprints.items()
        ]
        head = ("memory", "CPU seconds until the first answer", "MiB after it", "MiB at the end")
        about = ", ".join(f"{name} {what}" for name, what in self.about.items())
        return "\n\n".join([f"{about}.", *tables, table(head, memory), *self._failures()])

    def as_json(self) -> str:
        """Every turn."""
        turns = {
            scenario: {
                name: {"failed": each.reason} if isinstance(each, Failed) else [turn._asdict() for turn in each]
                for name, each in servers.items()
            }
            for scenario, servers in self.scenarios.items()
        }
        footprints = {
            name: {"started": each.started, "idle": each.idle, "after": each.after}
            for name, each in self.footprints.items()
        }
        return json.dumps({"about": self.about, "scenarios": turns, "footprints": footprints}, indent=1)

    def draw(self, file: Path) -> None:
        """The ratios of CPU time."""
        groups = {}
        for scenario, servers in self.scenarios.items():
            turns = {name: each for name, each in servers.items() if not isinstance(each, Failed)}
            groups[scenario] = {name: ratio(each, turns[REFERENCE], "cpu") for name, each in turns.items()}
        bars(file, TITLE, groups)

    def _failures(self) -> list[str]:
        return [
            f"{name} fails at {scenario}: {each.reason}"
            for scenario, servers in self.scenarios.items()
            for name, each in servers.items()
            if isinstance(each, Failed)
        ]
