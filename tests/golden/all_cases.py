"""All cases by their names, which begin with that of their module."""

from __future__ import annotations

from dataclasses import replace

from . import chat, embeddings, errors, gigachat, invalid, lists, mounts, openai, outer, streams

MODULES = (chat, streams, errors, invalid, embeddings, lists, mounts, outer, openai, gigachat)
_FOLDERS = {module.__name__.rpartition(".")[2]: module.CASES for module in MODULES}
_NAMED = [replace(case, name=f"{folder}/{case.name}") for folder, cases in _FOLDERS.items() for case in cases]
CASES = {case.name: case for case in _NAMED}

assert len(CASES) == len(_NAMED), "Two cases have one name."
