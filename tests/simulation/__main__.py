"""`python -m tests.simulation`: many seeds, or one again."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence

from tests.simulation.world import live

EVERY = 2.0  # seconds between two reports of progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 1 if a seed breaks a promise, which it names."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Let random clients, faults and jumps of the clock loose on the gateway, in virtual time.",
    )
    parser.add_argument("--seeds", type=int, default=10_000, metavar="N", help="how many to try (10000)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first of them (0)")
    parser.add_argument("--seed", type=int, metavar="N", help="only this one, and show its journal")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what fails is meant to
    try:
        if options.seed is not None:
            return _replay(options.seed)
        return _run(range(options.first, options.first + options.seeds))
    finally:
        logging.disable(logging.NOTSET)


def _run(seeds: range) -> int:
    told = began = time.monotonic()
    for seed in seeds:
        try:
            live(seed)
        except Exception as error:
            print(f"Seed {seed}: {type(error).__name__}: {error}")
            print(f"Again: python -m tests.simulation --seed {seed}")
            return 1
        if time.monotonic() - told > EVERY:
            told = time.monotonic()
            print(f"{seed - seeds.start + 1} of {len(seeds)} seeds keep the promises", file=sys.stderr)
    print(f"{len(seeds)} seeds keep the promises. It took {time.monotonic() - began:.1f} s.")
    return 0


def _replay(seed: int) -> int:
    try:
        journal = live(seed)
    except Exception as error:
        print("\n".join(getattr(error, "__notes__", ())))
        print(f"Seed {seed}: {type(error).__name__}: {error}")
        return 1
    print("\n".join(journal))
    print(f"Seed {seed} keeps the promises.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
