"""Which members of a request go upstream.

The upstream may be a gateway itself. A member that it takes for an order, such as `api_base`, `models`, `route` or
`litellm_params`, would let a client choose an address, a key or a price. Nobody knows all of these, so the list says
what passes, and everything else stays here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from ...wire import Document
from ...wire.members import without
from ...wire.reading import LARGE, off_loop
from ..base import MAX_WARNINGS, ignored_word

CHAT = "/chat/completions"
COMPLETIONS = "/completions"
EMBEDDINGS = "/embeddings"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# All as of November 2026. `store` is missing: it keeps the conversation upstream.
# https://platform.openai.com/docs/api-reference/chat/create
_OPENAI = _names("""
    model messages stream stream_options max_completion_tokens max_tokens temperature top_p n stop presence_penalty
    frequency_penalty logit_bias logprobs top_logprobs seed tools tool_choice parallel_tool_calls response_format
    reasoning_effort verbosity modalities audio prediction metadata service_tier prompt_cache_key prompt_cache_options
    prompt_cache_retention safety_identifier user moderation web_search_options functions function_call
""")
# What only changes how text is made. Members are missing on purpose if they ask for more answers than `n` says
# (`best_of`, `use_beam_search`), for longer ones than `max_tokens` says (`n_predict`, `ignore_eos`), for an adapter, a
# slot or a priority, or if they bring a program (`chat_template`, `logits_processors`).
# https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
_VLLM = _names("""
    top_k min_p repetition_penalty length_penalty min_tokens stop_token_ids bad_words allowed_token_ids
    include_stop_str_in_output skip_special_tokens spaces_between_special_tokens add_generation_prompt
    continue_final_message truncate_prompt_tokens chat_template_kwargs mm_processor_kwargs documents
    structured_outputs guided_json guided_regex guided_choice guided_grammar guided_whitespace_pattern
""")
# https://docs.sglang.ai/basic_usage/sampling_params.html
_SGLANG = _names("regex ebnf separate_reasoning")
# https://github.com/ggml-org/llama.cpp/tree/master/tools/server
_LLAMA_CPP = _names("""
    typical_p repeat_penalty repeat_last_n mirostat mirostat_tau mirostat_eta grammar json_schema cache_prompt
""")
# OpenRouter, Groq; DeepSeek, Z.ai and Qwen; Mistral.
_HOSTED = _names("""
    top_a reasoning include_reasoning reasoning_format thinking enable_thinking thinking_budget do_sample
    random_seed safe_prompt prompt_mode
""")
_HARMLESS = _VLLM | _SGLANG | _LLAMA_CPP | _HOSTED

# https://platform.openai.com/docs/api-reference/completions/create
_LEGACY = _names("""
    model prompt suffix stream stream_options max_tokens temperature top_p n best_of echo logprobs stop presence_penalty
    frequency_penalty logit_bias seed user
""")
# https://platform.openai.com/docs/api-reference/embeddings/create; Voyage, Cohere, NVIDIA and Jina; vLLM.
_EMBEDDING = _names("""
    model input encoding_format dimensions user
    input_type truncate truncation output_dimension output_dtype task normalized late_chunking
    truncate_prompt_tokens add_special_tokens normalize
""")


class Members:
    """Says which members of a request go upstream, and which stay here.

    Args:
        more: Names that pass besides those that pass everywhere.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        more = frozenset(more)
        self._passing = {
            CHAT: _OPENAI | _HARMLESS | more,
            COMPLETIONS: _LEGACY | _HARMLESS | more,
            EMBEDDINGS: _EMBEDDING | more,
        }

    def ignored(self, path: str, document: Document) -> list[str]:
        """The members that stay here when the document goes to that path; nearly always none."""
        value, passing = document.value, self._passing[path]
        if passing.issuperset(value):
            return []
        return [name for name in value if name not in passing and (name != "store" or value[name])]


async def without_members(document: Document, names: Collection[str]) -> Document:
    """The document without these members. All other bytes stay as they are."""
    if len(document.data) > LARGE:
        return await off_loop(_without, document, names)
    return _without(document, names)


def _without(document: Document, names: Collection[str]) -> Document:
    out = frozenset(names)
    value = {name: each for name, each in document.value.items() if name not in out}
    return Document(value, without(document.data, out))


def ignored_words(names: Iterable[str]) -> list[str]:
    """What the client is told about members that were taken out, as much as a header can hold."""
    return list(dict.fromkeys(map(ignored_word, islice(names, MAX_WARNINGS))))
