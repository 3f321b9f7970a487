"""`python -m tests.golden` records every case anew."""

from __future__ import annotations

import logging

from .all_cases import CASES
from .recording import FOLDER, record


def main() -> None:
    logging.disable()  # what goes wrong is meant to
    for file in FOLDER.rglob("*.txt"):
        file.unlink()
    for case in CASES.values():
        case.file.parent.mkdir(parents=True, exist_ok=True)
        case.file.write_bytes(record(case).encode())


if __name__ == "__main__":
    main()
