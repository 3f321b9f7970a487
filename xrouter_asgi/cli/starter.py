"""The first file of settings, and what to do with it."""

from __future__ import annotations

from dataclasses import dataclass

from ..providers.presets import PRESETS

KINDS = ("gigachat", "openai", "anthropic", *PRESETS, "echo")
PEPPER = "xrouter.pepper"
DOCS = "https://github.com/xrouter/xrouter-asgi/blob/main/docs"

_MODELS = {
    "gigachat": "GigaChat-2-Pro",
    "openai": "gpt-5-mini",
    "anthropic": "claude-sonnet-4-5",
    "yandex": "yandexgpt/latest",
    "deepseek": "deepseek-chat",
    "mistral": "mistral-small-latest",
    "ollama": "qwen3",
    "echo": "echo",
}
_CERTIFICATE = "russian_trusted_root_ca_pem.crt"
_HEAD = """\
# Settings of xrouter. What is commented out shows a default, or something to take in.
#   xrouter check --live    is everything there that this file needs?
#   xrouter serve           serves it, and reads it again when it changes
# Every setting: {docs}/settings.md
# A secret never stands here: "env:NAME" names an environment variable, "file:PATH" a file.
"""
_GIGACHAT = """\
credentials = "env:GIGACHAT_CREDENTIALS" # the authorization key from https://developers.sber.ru/studio
scope = "GIGACHAT_API_PERS"              # of companies: GIGACHAT_API_B2B, or GIGACHAT_API_CORP
# GigaChat's certificates come from the Russian Trusted Root CA, which no public store holds: https://www.gosuslugi.ru/crt
{bundle}
"""
_OPENAI = """\
base_url = "https://api.openai.com/v1" # or of any upstream that speaks OpenAI's API
api_key = "env:OPENAI_API_KEY"
"""
_ANTHROPIC = """\
api_key = "env:ANTHROPIC_API_KEY"
options = { cache = "auto" } # reads from Anthropic's cache what stays the same in every turn
"""
_KEYS = """
# Only who has a key is let in. Make one with: xrouter keys create --owner NAME
[keys]
url = "sqlite:///keys.db" # or "env:KEYS_URL" for postgresql://user:password@host/name
pepper = "file:xrouter.pepper" # made beside this file. Keep it: without it no key is known
"""
_NO_KEYS = """
# Without [keys] everybody is let in, so xrouter serve listens at this machine's own addresses only.
# [keys]
# url = "sqlite:///keys.db"
# pepper = "env:XROUTER_KEYS_PEPPER"
"""
_REST = """
# [rate_limit]
# limit = "60/minute; 100000 tokens/minute; 8 parallel" # of each key; without keys, of each address

# [metrics]
# port = 9100 # for Prometheus

[server]
host = "127.0.0.1"
port = 8000
"""


def model_of(kind: str) -> str:
    """A model of an upstream to begin with; `*`, which stands for each of its models, where none is known."""
    return _MODELS.get(kind, "*")


@dataclass(frozen=True, slots=True)
class Starter:
    """What somebody wants to begin with.

    Attributes:
        kind: Of the provider.
        model: Its model that clients get as `assistant`; `*` for each of them under its own name alone.
        keys: Whether to let in only who has a key.
        certificate: A file with the Russian root certificate that lies beside the settings.
    """

    kind: str
    model: str
    keys: bool
    certificate: str | None = None

    def text(self) -> str:
        """The file."""
        provider = f'\n[providers.{self.kind}]\nkind = "{self.kind}"\n{self._provider()}'
        return "".join((_HEAD.format(docs=DOCS), provider, self._models(), _KEYS if self.keys else _NO_KEYS, _REST))

    def next_steps(self, file: str) -> str:
        """What to type next."""
        option = "" if file == "xrouter.toml" else f" --config {file}"
        steps = [f"  export {name}=…" for name in self._variables()]
        if self.kind == "gigachat" and self.certificate is None:
            steps += [
                f"  curl -fsSO https://gu-st.ru/content/lending/{_CERTIFICATE}   # then take in 'ca_bundle'",
            ]
        if self.keys:
            steps += ['  pip install "xrouter-asgi[server,sql]"', f"  xrouter keys create{option} --owner me"]
        return "\n".join([*steps, f"  xrouter check{option} --live", f"  xrouter serve{option}"])

    def _variables(self) -> list[str]:
        row = PRESETS.get(self.kind)
        if row is None:
            name = {"gigachat": "GIGACHAT_CREDENTIALS", "echo": None}.get(self.kind, f"{self.kind.upper()}_API_KEY")
            return [name] if name else []
        return [name for name in (row.key, "YANDEX_FOLDER_ID" if row.model_prefix else None) if name]

    def _provider(self) -> str:
        row = PRESETS.get(self.kind)
        if self.kind == "gigachat":
            bundle = f'ca_bundle = "{self.certificate}"' if self.certificate else f'# ca_bundle = "{_CERTIFICATE}"'
            return _GIGACHAT.format(bundle=f'{bundle} # or "system", if this machine trusts it')
        if self.kind == "echo":
            return "# It needs no key and no network, and repeats what it is told.\n"
        if row is None:
            return _ANTHROPIC if self.kind == "anthropic" else _OPENAI
        lines = [
            f'# base_url = "{row.base_url}"'
            if row.base_url
            else 'base_url = "https://RESOURCE.openai.azure.com/openai/v1"'
        ]
        lines += ['folder = "env:YANDEX_FOLDER_ID"'] if row.model_prefix else []
        lines += [f'api_key = "env:{row.key}"'] if row.key else []
        return "\n".join(lines) + "\n"

    def _models(self) -> str:
        text = "\n# The names that clients use, and what they stand for. The next target answers if one fails.\n"
        if self.model != "*":
            text += f'[models.assistant]\ntargets = ["{self.kind}/{self.model}"]\n\n'
        return f'{text}# Each model of the upstream, under its own name.\n[models."*"]\ntargets = ["{self.kind}/*"]\n'
