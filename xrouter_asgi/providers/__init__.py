"""Providers: each says a typed call in the language of one kind of upstream."""

from .anthropic import AnthropicOptions, AnthropicProvider
from .base import Body, Call, HeaderList, Provider, ReadyProvider, Reply, Request
from .by_dialect import ByDialect
from .echo import EchoProvider
from .gigachat import GigaChatOptions, GigaChatProvider
from .http import TLS, Blame, ErrorRule, Instrument, OwnedTransport, Timeouts
from .openai import OpenAIOptions, OpenAIProvider
from .own_key import BringYourOwnKey
from .target import Attempting, Target, Wrapper, as_target

__all__ = [
    "TLS",
    "AnthropicOptions",
    "AnthropicProvider",
    "Attempting",
    "Blame",
    "Body",
    "BringYourOwnKey",
    "ByDialect",
    "Call",
    "EchoProvider",
    "ErrorRule",
    "GigaChatOptions",
    "GigaChatProvider",
    "HeaderList",
    "Instrument",
    "OpenAIOptions",
    "OpenAIProvider",
    "OwnedTransport",
    "Provider",
    "ReadyProvider",
    "Reply",
    "Request",
    "Target",
    "Timeouts",
    "Wrapper",
    "as_target",
]
