"""`xrouter serve` with everything on, before an upstream that is slow by its clock, each in a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from .resilience.stand import Stand, Upstream

_SETTINGS = """\
[server]
drain = 0
[providers.slow]
kind = "openai"
base_url = "http://127.0.0.1:{slow}/v1"
[providers.long]
kind = "openai"
base_url = "http://127.0.0.1:{long}/v1"
[models.bench]
targets = [{{ provider = "slow", model = "m"{parallel} }}]
[models.long]
targets = ["long/m"]
[keys]
url = "sqlite:///keys.db"
pepper = "file:secret"
[rate_limit]
limit = "100000000/minute; 100000000000 tokens/minute; 100000 parallel"
[tracing]
endpoint = "http://127.0.0.1:{long}"
[metrics]
token = "file:secret"
[alerts]
log = false
webhook = {{ url = "http://127.0.0.1:{long}" }}
"""
WORDS = 1500
"""Events of a stream of the model `long`: half a minute."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway. Its model `bench` takes 50 ms; `long` streams for half a minute.

    Attributes:
        upstream: That of `bench`.
        token: What `/metrics` wants.
    """

    port: int
    pid: int
    key: str
    token: str
    upstream: Upstream
    config: Path
    stand: Stand

    def resident(self) -> int:
        """Bytes of memory that the process has."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        raise RuntimeError("The gateway has ended.")


@asynccontextmanager
async def everything_on(
    *, parallel: int | None = None, launcher: Sequence[str] = (), pass_fds: Sequence[int] = ()
) -> AsyncIterator[Gateway]:
    """Start it all.

    Args:
        parallel: Calls at once at the upstream of `bench`; None for any number.
        launcher, pass_fds: See `Stand.serve`.
    """
    async with Stand() as stand:
        token = token_hex()
        (stand.folder / "secret").write_text(token)
        upstream = (await stand.upstreams("slow"))["slow"]
        long = await stand.listener("benchmarks.upstream", "0", str(WORDS))
        bound = "" if parallel is None else f", max_parallel = {parallel}"
        text = _SETTINGS.format(slow=upstream.port, long=long, parallel=bound)
        key = await stand.key(text)
        port = await stand.serve(text, launcher=launcher, pass_fds=pass_fds)
        yield Gateway(port, stand.pid, key, token, upstream, stand.folder / "xrouter.toml", stand)
