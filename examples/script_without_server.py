"""A provider used directly, in a script without any server.

LOCAL_URL=http://127.0.0.1:11434/v1 python examples/script_without_server.py qwen3 "Why is the sky blue?"
"""

from __future__ import annotations

import asyncio
import os
import sys

from xrouter_asgi import Call, OpenAIProvider
from xrouter_asgi.wire import ChatRequest, ChatStream


async def main(model: str, question: str) -> None:
    provider = OpenAIProvider(os.environ["LOCAL_URL"])
    request = ChatRequest.model_validate(
        {"model": model, "stream": True, "messages": [{"role": "user", "content": question}]}
    )
    try:
        reply = await provider.send(Call(request))
        if isinstance(reply.body, ChatStream):  # as asked for by `stream`
            async for batch in reply.body:
                for chunk in batch:
                    for choice in chunk.value["choices"]:  # none beside the usage
                        print(choice["delta"].get("content") or "", end="", flush=True)
        print()
    finally:
        await provider.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
