"""The steps of the Dockerfile, one by one, in empty folders and a virtual environment: no Docker is needed."""

from __future__ import annotations

import asyncio
import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest

from .tools import DEPLOY, check

ROOT = DEPLOY.parents[1]
DOCKERFILE = DEPLOY / "Dockerfile"


def steps() -> list[tuple[str, str]]:
    """Each instruction, with what stands behind it."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for step in steps():
        if step[0] == "FROM":
            found.append([])
        found[-1].append(step)
    return found


def sent(path: Path) -> bool:
    """Whether Docker sees this file of the repository: the last pattern that fits says."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").split()
    seen = True
    for pattern in lines:
        names = [str(part) for part in (path, *path.parents)]
        if any(fnmatch.fnmatch(name, pattern.removeprefix("!").removeprefix("**/")) for name in names):
            seen = pattern.startswith("!")
    return seen and "__pycache__" not in path.parts


def test_the_context_of_docker_holds_the_package_and_no_secrets_or_tests() -> None:
    files = [path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file() and ".tox" not in path.parts]
    assert {path.parts[0] for path in files if sent(path)} == {
        "LICENSE", "README.md", "pyproject.toml", "xrouter_asgi"
    }  # fmt: skip
    assert not sent(Path(".env"))


def test_hadolint_finds_nothing() -> None:
    check("hadolint", DOCKERFILE)


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    last = dict(stages()[-1])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert last["ENTRYPOINT"] == '["xrouter"]'
    assert not any(word == "RUN" for word, _ in stages()[-1])  # nothing is built in what is shipped


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in which the steps of the first stage were run, with every absolute path below it."""
    folder = tmp_path_factory.mktemp("image")
    work = folder
    for word, rest in stages()[0]:
        match word:
            case "WORKDIR":
                work = folder / rest.lstrip("/")
                work.mkdir(parents=True)
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    _copy(ROOT / source, work / target)
            case "RUN":
                command = rest.replace("python -m venv", f"{shlex.quote(sys.executable)} -m venv")
                command = command.replace("/opt/", f"{shlex.quote(str(folder))}/opt/")
                ran = subprocess.run(command, shell=True, cwd=work, capture_output=True, text=True)  # noqa: S602
                assert ran.returncode == 0, ran.stdout + ran.stderr
    shutil.rmtree(work)
    return folder


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


async def test_what_is_built_serves_and_is_healthy(image: Path, tmp_path: Path) -> None:
    """As the image does it: its own Python, its command, its check, and a root that it does not write to."""
    config = tmp_path / "xrouter.toml"
    config.write_text('[providers.echo]\nkind = "echo"\n[responses]\nstore = "off"\n')
    last = dict(stages()[-1])
    program = image / "opt/xrouter/bin"
    before = _files(image)
    environment = {"PATH": str(program), "PYTHONDONTWRITEBYTECODE": "1", "XROUTER_CONFIG": str(config)}
    command = [*_words(last["ENTRYPOINT"]), *_words(last["CMD"])]
    command[command.index("8000")] = "0"
    command[0] = str(program / command[0])
    process = await asyncio.create_subprocess_exec(*command, "--no-auth", env=environment, stderr=PIPE, cwd=tmp_path)
    try:
        assert process.stderr is not None
        said = b"".join([await process.stderr.readline() for _ in range(2)]).decode()
        found = re.search(r"serves at http://0\.0\.0\.0:(\d+)/v1", said)
        assert found is not None, said
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://127.0.0.1:{found[1]}/ready")).status_code == 200
        test = last["HEALTHCHECK"].partition("CMD ")[2].replace(":8000/", f":{found[1]}/")
        healthy = await asyncio.create_subprocess_exec(str(program / "python"), *_words(test)[1:], env=environment)
        assert await healthy.wait() == 0
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0
    assert _files(image) == before


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def _words(text: str) -> list[str]:
    words: list[str] = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    return words
