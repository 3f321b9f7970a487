"""Callers who have an account with the upstream pay with it: their key comes in `x-provider-key`.

    LOCAL_URL=https://api.example.com/v1 uvicorn --app-dir examples own_keys:app

The key goes to this upstream only, and whoever sends none is asked for one. Give `inner=` a provider with a key of your
own to answer those as well.
"""

from __future__ import annotations

import os

from xrouter_asgi import BringYourOwnKey, LLMRouter, OpenAIProvider, Provider, Target


def with_key(key: str) -> Provider:
    return OpenAIProvider(os.environ["LOCAL_URL"], api_key=key)


app = LLMRouter({"*": Target(BringYourOwnKey(with_key), model="*")})
