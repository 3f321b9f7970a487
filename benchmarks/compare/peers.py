"""Other gateways: how each is installed, and started with one model at the upstream, as its own documents say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..servers import Launch

PEERS = Path(".peers")
"""Where they are looked for: a folder for each."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One of them.

    Attributes:
        title: What tables call it.
        package: Its name in PyPI or npm.
        install: The command that puts it into `{folder}`.
        program: What that makes there.
        launch: Makes the start of one that is in a folder, with a folder for its files, its port, and the upstream.
    """

    title: str
    package: str
    install: str
    program: str
    launch: Callable[[Path, Path, int, str], Launch]

    def how_to_install(self, folder: Path) -> str:
        return self.install.replace("{folder}", str(folder))

    def installed(self, folder: Path) -> bool:
        return (folder / self.program).exists()

    def version(self, folder: Path) -> str:
        """What is installed."""
        if self.program.startswith("node_modules"):
            return str(json.loads((folder / "node_modules" / self.package / "package.json").read_text())["version"])
        ask = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        return subprocess.run(
            [folder / "bin/python", "-c", ask], check=True, capture_output=True, text=True
        ).stdout.strip()


def _in_venv(what: str) -> str:
    return f"python -m venv {{folder}} && {{folder}}/bin/pip install {what}"


def _litellm(program: Path, folder: Path, port: int, upstream: str) -> Launch:
    key = "sk-bench"
    config = folder / "config.yaml"
    settings = {
        "model_list": [
            {
                "model_name": "bench",
                "litellm_params": {"model": "openai/bench", "api_base": f"{upstream}/v1", "api_key": "x"},
            }
        ],
        "general_settings": {"master_key": key},
    }
    config.write_text(json.dumps(settings))  # YAML takes JSON
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    # Its table of prices would come from the internet, and so would go what it tells of itself.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}
    return Launch(command, port, environment, keys=(key,))


def _gpt2giga(program: Path, folder: Path, port: int, upstream: str) -> Launch:
    environment = {
        "GPT2GIGA_HOST": "127.0.0.1",
        "GPT2GIGA_PORT": str(port),
        "GPT2GIGA_LOG_FILENAME": str(folder / "gpt2giga.log"),
        "GIGACHAT_BASE_URL": f"{upstream}/v1",
        "GIGACHAT_ACCESS_TOKEN": "x",
    }
    return Launch([str(program)], port, environment, model="GigaChat")


def _portkey(program: Path, folder: Path, port: int, upstream: str) -> Launch:
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{upstream}/v1"}
    return Launch(["node", str(program), "--headless", f"--port={port}"], port, headers=headers)


# The server that npm would choose makes every stream a 500, `TypeError: immutable` (gateway 1.15.2, server 1.19.19).
_PORTKEY = '{"dependencies":{"@portkey-ai/gateway":"1.15.2"},"overrides":{"@hono/node-server":"1.13.8"}}'


def _tensorzero(program: Path, folder: Path, port: int, upstream: str) -> Launch:
    config = folder / "tensorzero.toml"
    config.write_text(
        f"""\
[gateway]
observability.enabled = false
[models.bench]
routing = ["upstream"]
[models.bench.providers.upstream]
type = "openai"
model_name = "bench"
api_base = "{upstream}/v1/"
api_key_location = "none"
"""
    )
    command = [str(program), "-c", _TENSORZERO, str(config)]
    return Launch(command, None, path="/openai/v1/chat/completions", model="tensorzero::model_name::bench")


# Its server is in the package, for its own `patch_openai_client`. It takes a free port.
_TENSORZERO = """\
import signal, sys, tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(gateway.base_url, flush=True)
signal.pause()
"""


KNOWN = {
    "litellm": Peer("LiteLLM", "litellm", _in_venv("'litellm[proxy]'"), "bin/litellm", _litellm),
    "gpt2giga": Peer("gpt2giga", "gpt2giga", _in_venv("gpt2giga"), "bin/gpt2giga", _gpt2giga),
    "portkey": Peer(
        "Portkey",
        "@portkey-ai/gateway",
        "mkdir -p {folder} && echo '" + _PORTKEY + "' > {folder}/package.json && npm install --prefix {folder}",
        "node_modules/@portkey-ai/gateway/build/start-server.js",
        _portkey,
    ),
    "tensorzero": Peer("TensorZero", "tensorzero", _in_venv("tensorzero"), "bin/python", _tensorzero),
}
