"""A gateway with a ledger as programs of its own, and an upstream that counts what it has said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xrouter_asgi.keys import Issuer, KeySpec, SQLKeyStore
from xrouter_asgi.testing.http import FakeExchange, FakeServer

MICRO = 1000  # nano-units

PRICE = {"input": "0.15", "output": "0.6", "request": "0.001"}
"""Of the one model, in USD."""


def nano(prompt: int, completion: int) -> int:
    """What so many tokens cost by `PRICE`."""
    return 150 * prompt + 600 * completion + 1_000_000


def prompt_tokens(words: int) -> int:
    """What the upstream counts of a request for so many words."""
    return 7 + len(str(words))


@dataclass
class Said:
    """What the upstream did about one request.

    Attributes:
        whole: Whether it came to the end, with its usage.
    """

    prompt: int
    completion: int
    whole: bool = False


class Upstream:
    """Streams as many words as the last message says, `words fate`, and fails halfway if the fate is to `break`.

    Attributes:
        said: By the number of the client's stream, which is the message's last word: one for each attempt.
    """

    def __init__(self) -> None:
        self.said: dict[str, list[Said]] = {}
        self._server = FakeServer(self._answer)

    @property
    def url(self) -> str:
        return f"{self._server.url}/v1"

    @property
    def cost(self) -> int:
        """Nano-units of all that was said to its end."""
        return sum(nano(each.prompt, each.completion) for many in self.said.values() for each in many if each.whole)

    @property
    def asked(self) -> int:
        return sum(map(len, self.said.values()))

    async def __aenter__(self) -> Upstream:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    async def _answer(self, exchange: FakeExchange) -> None:
        request = json.loads(exchange.body)
        words, fate, number = request["messages"][-1]["content"].split()
        said = Said(prompt_tokens(int(words)), int(words))
        self.said.setdefault(number, []).append(said)
        if fate == "refuse" and len(self.said[number]) == 1:
            self.said[number].pop()
            await exchange.answer(500, b"{}", {"content-type": "application/json"})
            return
        if fate == "late" and len(self.said[number]) == 1:
            await asyncio.sleep(1.0)  # until another one is asked
        if not request.get("stream"):
            said.whole = True
            await exchange.answer(200, json.dumps(_completion(said)).encode(), {"content-type": "application/json"})
            return
        await exchange.start(200, {"content-type": "text/event-stream"})
        for word in range(said.completion):
            if fate == "break" and word >= said.completion // 2:
                exchange.reset()
                return
            await exchange.write(_event({"choices": [_choice({"content": "word "})]}))
            await asyncio.sleep(0)
        await exchange.write(_event({"choices": [_choice({}, "stop")]}))
        said.whole = True
        await exchange.write(_event({"choices": [], "usage": _usage(said)}) + b"data: [DONE]\n\n")
        await exchange.end()


def _event(facts: Mapping[str, Any]) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**head, **facts}).encode() + b"\n\n"


def _choice(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _usage(said: Said) -> dict[str, int]:
    total = said.prompt + said.completion
    return {"prompt_tokens": said.prompt, "completion_tokens": said.completion, "total_tokens": total}


def _completion(said: Said) -> dict[str, Any]:
    message = {"role": "assistant", "content": "word " * said.completion}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": _usage(said)}


async def new_key(url: str, **facts: Any) -> tuple[str, str]:
    """The id and the secret of a key in a database, whose tables are made."""
    store = SQLKeyStore(url)
    await store.migrate()
    issued = await Issuer(store, by="stand").create(KeySpec(**facts))
    await store.aclose()
    return issued.key.id, issued.secret


def settings(
    file: Path, upstream: str, url: str, *, limit: str = "", redis: str | None = None, ledger: str = "", model: str = ""
) -> Path:
    """The settings of a gateway with one model, of two targets that are the same, and as slow as the machine is."""
    price = "\n".join(f'{name} = "{value}"' for name, value in PRICE.items())
    database = f'url = "{ledger}"' if ledger else ""
    storage = "" if redis is None else f'[rate_limit]\nstorage = "{redis}"\n'
    file.write_text(f"""
[providers.up]
kind = "openai"
base_url = "{upstream}"
timeouts = {{ connect = 60, pool = 60 }}
[providers.too]
kind = "openai"
base_url = "{upstream}"
timeouts = {{ connect = 60, pool = 60 }}
[models.m]
targets = ["up/m", "too/m"]
{model}
[[prices]]
target = "*/m"
{price}
[server]
port = 0
drain = 5
[access_log]
format = "off"
[keys]
url = "{url}"
[spend]
labels = ["number"]
limit = "{limit}"
{database}
{storage}
""")
    return file
