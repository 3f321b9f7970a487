from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from xrouter_asgi.settings.references import ExistingPath, Hidden, ReferenceSources, Secret, with_references


class Table(BaseModel):
    secret: Secret | None = None
    hidden: Hidden | None = None
    path: ExistingPath | None = None


def read(folder: Path, **values: Any) -> Table:
    return Table.model_validate(values, context=ReferenceSources({"KEY": "from-env", "EMPTY": ""}, folder))


def problem(folder: Path, **values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(folder, **values)
    (found,) = caught.value.errors()
    return str(found["ctx"]["error"])


def text(secret: SecretStr | None) -> str:
    assert secret is not None
    return secret.get_secret_value()


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" from-file\n")
    assert text(read(tmp_path, secret="env:KEY").secret) == "from-env"
    assert text(read(tmp_path, secret="file:key").secret) == "from-file"
    assert text(read(Path(), secret=f"file:{tmp_path / 'key'}").secret) == "from-file"


def test_a_secret_of_a_program_is_taken_as_it_is() -> None:
    assert text(Table(secret=SecretStr("given")).secret) == "given"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("sk-literal", 'holds the secret itself. Write "env:NAME"'),
        (5, 'is not a text. Write "env:NAME"'),
        ("env:NONE", "names the environment variable 'NONE', which is not set."),
        ("env:sk-literal", 'has something behind "env:" that is not the name of an environment variable.'),
        ("env:EMPTY", "names the environment variable 'EMPTY', which is empty."),
        ("file:none", "names the file 'none', which cannot be read: No such file or directory."),
        ("file:empty", "names the file 'empty', which is empty."),
        ("file:binary", "names the file 'binary', which is not a text in UTF-8."),
    ],
)
def test_a_secret_that_cannot_be_had_says_why(tmp_path: Path, value: object, words: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    assert problem(tmp_path, secret=value).startswith(words)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_secret_that_others_can_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, warned: bool
) -> None:
    (tmp_path / "key").write_text("from-file")
    (tmp_path / "key").chmod(mode)
    assert text(read(tmp_path, secret="file:key").secret) == "from-file"
    assert (f"chmod 600 {tmp_path / 'key'}" in caplog.text) is warned


def test_a_hidden_text_may_stand_in_the_file_or_elsewhere(tmp_path: Path) -> None:
    assert text(read(tmp_path, hidden="http://proxy:3128").hidden) == "http://proxy:3128"
    assert text(read(tmp_path, hidden="env:KEY").hidden) == "from-env"


def test_settings_are_shown_with_references_and_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file")
    for shown, table in (
        ("env:KEY", read(tmp_path, secret="env:KEY", hidden="env:KEY")),
        ("file:key", read(tmp_path, secret="file:key", hidden="file:key")),
    ):
        told = with_references([table.model_dump(mode="json")], [table.model_dump()])
        assert told == [{"secret": shown, "hidden": shown, "path": None}]
    table = read(tmp_path, hidden="http://me:pass@proxy")
    assert with_references(table.model_dump(mode="json"), table.model_dump())["hidden"] == "set in the file"


def test_a_path_starts_at_the_folder_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    assert read(tmp_path, path="ca.pem").path == tmp_path / "ca.pem"
    assert problem(tmp_path, path="none.pem").startswith(f"names '{tmp_path / 'none.pem'}', which does not exist.")
