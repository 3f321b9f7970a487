"""Upstreams that speak OpenAI's API, each a row: where it is, how it is told who asks, and where it differs.

`kind = "deepseek"` in the settings is `kind = "openai"` with such a row. Whatever the settings say comes before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .openai import OpenAIOptions

PresetKind: TypeAlias = Literal[
    "azure",
    "cloudru",
    "deepseek",
    "fireworks",
    "gemini",
    "groq",
    "llamacpp",
    "lmstudio",
    "mistral",
    "moonshot",
    "ollama",
    "openrouter",
    "qwen",
    "together",
    "vllm",
    "xai",
    "yandex",
    "zai",
]


Dialect: TypeAlias = Literal["responses", "messages"]
"""A client API that an upstream may have besides chat: OpenAI's Responses, Anthropic's Messages."""

_OPENAI = OpenAIOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What is known about an upstream.

    Attributes:
        base_url: None for an upstream where each account has its own address.
        key: The environment variable that its own tools take the API key from; None if it needs none.
        checked: When the row was last compared with what is published about it, as YYYY-MM-DD.
        source: The page of its maker.
        key_header: The header for the key, bare; None sends it as a bearer token.
        project_header: The header for the folder that the account belongs to, and `model_prefix`, in which `{folder}`
            stands for it, what its names of models begin with. None for an upstream without folders.
        speaks: Which client APIs besides chat it has itself, at the same address.
        lists_targets: Whether what it lists as models is what can be asked for.
        options: See `OpenAIOptions`.
    """

    base_url: str | None
    key: str | None
    checked: str = "2026-11-30"
    source: str
    key_header: str | None = None
    project_header: str | None = None
    model_prefix: str | None = None
    speaks: tuple[Dialect, ...] = ()
    lists_targets: bool = True
    options: OpenAIOptions = _OPENAI


_CHAT = OpenAIOptions(completions=False)  # has no legacy completions
_BOTH: tuple[Dialect, ...] = ("responses", "messages")
_LOCAL = OpenAIOptions(late_system="user")  # the chat templates of most open models take one system message, in front

PRESETS: Mapping[str, Preset] = {
    "azure": Preset(
        base_url=None,
        key="AZURE_OPENAI_API_KEY",
        source="https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
        key_header="api-key",
        speaks=("responses",),
        lists_targets=False,  # it lists models, and takes names of deployments
        options=OpenAIOptions(output_limit="max_completion_tokens"),
    ),
    "cloudru": Preset(
        base_url="https://foundation-models.api.cloud.ru/v1",
        key="CLOUDRU_API_KEY",
        source="https://cloud.ru/docs/foundation-models/ug/topics/quickstart",
        options=_CHAT,
    ),
    "deepseek": Preset(
        base_url="https://api.deepseek.com/v1",
        key="DEEPSEEK_API_KEY",
        source="https://api-docs.deepseek.com",
        options=_CHAT,  # its `/completions` is another one, below `/beta`
    ),
    "fireworks": Preset(
        base_url="https://api.fireworks.ai/inference/v1",
        key="FIREWORKS_API_KEY",
        source="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    "gemini": Preset(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key="GEMINI_API_KEY",
        source="https://ai.google.dev/gemini-api/docs/openai",
        options=OpenAIOptions(reasoning="off", reasoning_models=("gemini-*", "models/gemini-*"), completions=False),
    ),
    "groq": Preset(
        base_url="https://api.groq.com/openai/v1",
        key="GROQ_API_KEY",
        source="https://console.groq.com/docs/openai",
        options=OpenAIOptions(
            output_limit="max_completion_tokens",
            reasoning="off",
            reasoning_models=("openai/gpt-oss-*", "qwen/qwen3*"),
            completions=False,
        ),
    ),
    "llamacpp": Preset(
        base_url="http://127.0.0.1:8080/v1",
        key=None,
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        speaks=_BOTH,
        options=_LOCAL,
    ),
    "lmstudio": Preset(
        base_url="http://127.0.0.1:1234/v1",
        key=None,
        source="https://lmstudio.ai/docs/developer/openai-compat",
        speaks=_BOTH,
        options=_LOCAL,
    ),
    "mistral": Preset(
        base_url="https://api.mistral.ai/v1",
        key="MISTRAL_API_KEY",
        source="https://docs.mistral.ai/api",
        options=OpenAIOptions(reasoning="off", reasoning_models=("mistral-small-*",), completions=False),
    ),
    "moonshot": Preset(
        base_url="https://api.moonshot.ai/v1",
        key="MOONSHOT_API_KEY",
        source="https://platform.moonshot.ai/docs/api/chat",
        options=_CHAT,
    ),
    "ollama": Preset(
        base_url="http://127.0.0.1:11434/v1",
        key=None,
        source="https://docs.ollama.com/api/openai-compatibility",
        speaks=_BOTH,
        options=OpenAIOptions(late_system="user", reasoning="reasoning"),
    ),
    "openrouter": Preset(
        base_url="https://openrouter.ai/api/v1",
        key="OPENROUTER_API_KEY",
        source="https://openrouter.ai/docs/api-reference/overview",
        options=OpenAIOptions(reasoning="reasoning", reasoning_models=("*",)),  # it leaves out what a model has not
    ),
    "qwen": Preset(
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key="DASHSCOPE_API_KEY",
        source="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
        options=_CHAT,
    ),
    "together": Preset(
        base_url="https://api.together.xyz/v1",
        key="TOGETHER_API_KEY",
        source="https://docs.together.ai/docs/openai-api-compatibility",
    ),
    "vllm": Preset(
        base_url="http://127.0.0.1:8000/v1",
        key=None,
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server",
        speaks=_BOTH,
        options=_LOCAL,
    ),
    "xai": Preset(
        base_url="https://api.x.ai/v1",
        key="XAI_API_KEY",
        source="https://docs.x.ai/docs/api-reference",
        options=OpenAIOptions(reasoning_models=("grok-3-mini*", "grok-4.3*"), completions=False),
    ),
    "yandex": Preset(
        base_url="https://ai.api.cloud.yandex.net/v1",
        key="YANDEX_API_KEY",
        source="https://yandex.cloud/docs/ai-studio/concepts/openai-compatibility",
        project_header="OpenAI-Project",
        model_prefix="gpt://{folder}/",
        speaks=("responses",),
        options=_CHAT,
    ),
    "zai": Preset(
        base_url="https://api.z.ai/api/paas/v4",
        key="ZAI_API_KEY",
        source="https://docs.z.ai/guides/develop/openai/introduction",
        options=_CHAT,
    ),
}
