"""What a measurement found: on the terminal, and with its plot in docs/performance.md."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .plot import Series, plot
from .resilience.goal import Finding
from .subject import HERE

PAGE = HERE / "docs" / "performance.md"


def parser(name: str, what: str | None) -> argparse.ArgumentParser:
    """The parser of such a command."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=what, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--plot", type=Path, metavar="FILE", help=f"where to draw the plot (default {name}.svg)")
    made.add_argument("--save", action="store_true", help="put report and plot into docs/ in place of the last ones")
    return made


def report(
    name: str, findings: Sequence[Finding], series: Mapping[str, Series], *, title: str, options: argparse.Namespace
) -> int:
    """Print what was found and draw the series. Returns the exit code: 0 if every goal was met, else 1."""
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        verdict = "ok" if finding.met else "NOT ok"
        print(f"{verdict:<6}  {finding.what:<{width}}  wanted {finding.wanted:<10} found {finding.found}")
    file = PAGE.parent / "img" / f"{name}.svg" if options.save else options.plot or Path(f"{name}.svg")
    plot(file, title, series)
    print(f"The plot is {file}.")
    if options.save:
        rows = [(finding.what, finding.wanted, finding.found) for finding in findings]
        save(name, f"![{title}](img/{name}.svg)\n\n{table(('', 'wanted', 'found'), rows)}")
    return 0 if all(finding.met for finding in findings) else 1


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (head, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])


def save(name: str, text: str) -> None:
    """Put a text in place of what stands between `<!-- name -->` and `<!-- end of name -->` in docs/performance.md."""
    page = PAGE.read_text()
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    made, number = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)
    if number != 1:
        raise ValueError(f"docs/performance.md has {number} places for {name}.")
    PAGE.write_text(made)
