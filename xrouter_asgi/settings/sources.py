"""Where settings were read from, and what lies beside and was not read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from .environment import PREFIX

_OTHERS = ("pyproject.toml",)  # files of TOML that are no settings


def describe_source(file: Path | None, environment: Mapping[str, str]) -> str:
    """The file, or the variables that stand in its place, without their values."""
    if file is not None:
        return str(file.absolute())
    return f"the environment: {', '.join(_variables(environment))}"


def remarks(file: Path | None, environment: Mapping[str, str], *, folder: Path = Path()) -> Iterator[str]:
    """What looks like settings, and has no effect.

    Args:
        file: The file that was read; None if it was the environment.
        folder: Where the program was started.
    """
    if file is not None:
        text = file.read_text("utf-8", errors="replace")
        ignored = [name for name in _variables(environment) if name not in text]
        if ignored:
            yield f"{', '.join(ignored)} of the environment: not read, because {file} is, and does not name them."
        return
    strays = [each.name for each in sorted(folder.glob("*.toml")) if _is_settings(each)]
    if strays:
        yield (
            f"{', '.join(strays)}: not read, because GIGACHAT_… of the environment are the settings. "
            f"To read a file: --config {strays[0]}"
        )


def _variables(environment: Mapping[str, str]) -> list[str]:
    return sorted(name for name, value in environment.items() if name.startswith(PREFIX) and value)


def _is_settings(file: Path) -> bool:
    with suppress(OSError):
        return file.name not in _OTHERS and "providers" in file.read_text("utf-8", errors="replace")
    return False
