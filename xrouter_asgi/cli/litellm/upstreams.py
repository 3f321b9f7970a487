"""Which kind of provider here each provider of LiteLLM's is.

The names, addresses and variables on the left are those of LiteLLM's own pages (https://docs.litellm.ai/docs/providers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

_OPENAI_NAMES = re.compile(r"(gpt-|chatgpt-|o\d|text-embedding-|ft:|codex-|davinci|babbage)")
_SIGNED = "needs requests that are signed, which are not made here."


class UpstreamKind(NamedTuple):
    """A provider of LiteLLM's.

    Attributes:
        kind: Of its table here.
        key: The variable from which LiteLLM takes the key that no deployment names; None if it needs none.
        base_url: Its address, where the kind has none of its own.
    """

    kind: str
    key: str | None
    base_url: str | None = None


OPENAI_URL = "https://api.openai.com/v1"
GENERIC = ("openai", "text-completion-openai", "custom_openai", "openai_like", "litellm_proxy")
"""Names of LiteLLM's for whatever speaks OpenAI's API."""

_OPENAI = UpstreamKind("openai", "OPENAI_API_KEY", OPENAI_URL)
_COMPATIBLE = UpstreamKind("openai", None)  # its address is in the configuration

_KINDS: Mapping[str, UpstreamKind] = {
    "openai": _OPENAI,
    "text-completion-openai": _OPENAI,
    "custom_openai": _COMPATIBLE,
    "openai_like": _COMPATIBLE,
    "litellm_proxy": _COMPATIBLE,
    "azure": UpstreamKind("azure", "AZURE_API_KEY"),
    "azure_text": UpstreamKind("azure", "AZURE_API_KEY"),
    "anthropic": UpstreamKind("anthropic", "ANTHROPIC_API_KEY"),
    "gigachat": UpstreamKind("gigachat", "GIGACHAT_CREDENTIALS"),
    "gemini": UpstreamKind("gemini", "GEMINI_API_KEY"),
    "deepseek": UpstreamKind("deepseek", "DEEPSEEK_API_KEY"),
    "groq": UpstreamKind("groq", "GROQ_API_KEY"),
    "mistral": UpstreamKind("mistral", "MISTRAL_API_KEY"),
    "openrouter": UpstreamKind("openrouter", "OPENROUTER_API_KEY"),
    "together_ai": UpstreamKind("together", "TOGETHERAI_API_KEY"),
    "fireworks_ai": UpstreamKind("fireworks", "FIREWORKS_AI_API_KEY"),
    "xai": UpstreamKind("xai", "XAI_API_KEY"),
    "moonshot": UpstreamKind("moonshot", "MOONSHOT_API_KEY"),
    "dashscope": UpstreamKind("qwen", "DASHSCOPE_API_KEY"),
    "zai": UpstreamKind("zai", "ZAI_API_KEY"),
    "ollama": UpstreamKind("ollama", None),
    "ollama_chat": UpstreamKind("ollama", None),
    "hosted_vllm": UpstreamKind("vllm", None),
    "vllm": UpstreamKind("vllm", None),
    "lm_studio": UpstreamKind("lmstudio", None),
    "llamafile": UpstreamKind("llamacpp", None),
    "cerebras": UpstreamKind("openai", "CEREBRAS_API_KEY", "https://api.cerebras.ai/v1"),
    "deepinfra": UpstreamKind("openai", "DEEPINFRA_API_KEY", "https://api.deepinfra.com/v1/openai"),
    "nvidia_nim": UpstreamKind("openai", "NVIDIA_NIM_API_KEY", "https://integrate.api.nvidia.com/v1"),
    "perplexity": UpstreamKind("openai", "PERPLEXITYAI_API_KEY", "https://api.perplexity.ai"),
    "sambanova": UpstreamKind("openai", "SAMBANOVA_API_KEY", "https://api.sambanova.ai/v1"),
}
_UNSERVED: Mapping[str, str] = {
    **dict.fromkeys(("bedrock", "bedrock_converse", "sagemaker", "sagemaker_chat"), _SIGNED),
    **dict.fromkeys(("vertex_ai", "vertex_ai_beta"), _SIGNED),
    "*": 'stands for every model of every provider. Write a pattern for each, such as models."openai/*".',
}


class NamedModel(NamedTuple):
    """A model at a provider.

    Attributes:
        provider: As LiteLLM calls it.
        upstream: What it is here; None if it is not served here.
        reason: Why it is not, as a sentence that the name of the model begins.
    """

    provider: str
    model: str
    upstream: UpstreamKind | None
    reason: str = ""


def named_model(written: str, provider: str | None, *, has_address: bool) -> NamedModel:
    """What LiteLLM's `model` names.

    Args:
        written: `provider/model`, or a model whose provider LiteLLM knows.
        provider: `custom_llm_provider`, which comes before a guess.
        has_address: Whether an address stands beside it, so that it may be any upstream that speaks OpenAI's API.
    """
    prefix, slash, model = written.partition("/")
    known = provider or (prefix if slash and (prefix in _KINDS or prefix in _UNSERVED) else None) or _guess(written)
    if known is None and has_address:
        known = prefix if slash else "openai_like"
    if not slash or prefix != known:
        model = written
    if known in _UNSERVED or written in _UNSERVED:
        return NamedModel(known or "", model, None, _UNSERVED[written if written in _UNSERVED else known or ""])
    upstream = _KINDS.get(known or "")
    if upstream is None and has_address:
        return NamedModel(known or "", model, _COMPATIBLE)
    if upstream is None:
        return NamedModel("", model, None, "names a provider that is not known here, and no 'api_base'.")
    return NamedModel(known or "", model, upstream)


def address(kind: UpstreamKind, api_base: str) -> str:
    """The base URL of an upstream. LiteLLM adds to some addresses what ours have."""
    parts = urlsplit(api_base)
    if not parts.netloc:
        return api_base  # xrouter check says what is wrong with it
    path = parts.path.rstrip("/")
    if kind.kind == "azure":
        path = "/openai/v1"  # the API without versions, which takes the names of deployments as models
    elif kind.kind in ("anthropic", "ollama") and not path:
        path = "/v1"
    return parts._replace(path=path, query="", fragment="").geturl()


def _guess(model: str) -> str | None:
    """The provider of a model that is named without one."""
    if "/" in model:
        return None
    if model.startswith("claude-"):
        return "anthropic"
    return "openai" if _OPENAI_NAMES.match(model) else None
