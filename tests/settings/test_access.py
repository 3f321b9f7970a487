"""Keys, limits, responses and CORS, as settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from xrouter_asgi.inspection import describe_layers
from xrouter_asgi.kept import MemoryResponses, RedisResponses
from xrouter_asgi.limits import MemoryLimits, RedisLimits
from xrouter_asgi.settings import Settings, SettingsError, load_keys

from .reading import ECHO, mistakes, read

PEPPER = "p" * 32


class TestKeys:
    def test_without_a_table_there_are_none(self) -> None:
        assert read("").keys is None

    async def test_they_are_checked_with_the_pepper(self, tmp_path: Path) -> None:
        text = 'keys = { url = "env:URL", pepper = "env:PEPPER", imported = true }'
        table = read(text, URL=f"sqlite:///{tmp_path}/keys.db", PEPPER=f"2:{PEPPER},0:").keys
        assert table is not None
        assert (table.imported, str(table.hasher)) == (True, "HMAC-SHA-256 with pepper 2")
        keys = table.build()
        assert await keys.check("unknown-but-importable") is None
        assert (tmp_path / "keys.db").exists()
        await keys.aclose()

    @pytest.mark.parametrize(
        ("url", "read_as"),
        [
            ("sqlite:///keys.db", "sqlite:///{folder}/keys.db"),
            ("sqlite:///below/keys.db", "sqlite:///{folder}/below/keys.db"),
            ("sqlite:////var/keys.db", "sqlite:////var/keys.db"),
            ("sqlite:///:memory:", "sqlite:///:memory:"),
            ("sqlite://", "sqlite://"),
            ("postgresql://me@host/keys", "postgresql://me@host/keys"),
        ],
    )
    def test_a_relative_file_starts_at_the_folder_of_the_settings(self, url: str, read_as: str, tmp_path: Path) -> None:
        (tmp_path / "below").mkdir()
        table = read(f'keys.url = "{url}"', folder=tmp_path).keys
        assert table is not None
        assert table.url.get_secret_value() == read_as.format(folder=tmp_path)

    def test_a_missing_folder_is_told_with_its_path(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError) as caught:
            read('keys.url = "sqlite:///data/keys.db"', folder=tmp_path)
        assert str(caught.value).startswith(
            f"x.toml: keys.url names a database in '{tmp_path}/data', which is no folder."
        )

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            ("keys = {}", "keys.url is missing. Write it."),
            ("keys = 5", "keys is no table. Write one, [keys]."),
            ("keys.url = 5", "keys.url is not a text. Write one, or a reference to it."),
            (
                'keys = { url = "sqlite:///k", peper = "x" }',
                "keys has no key 'peper'. Did you mean 'pepper'? Known: imported, pepper, url.",
            ),
            ('keys.url = "mysql://host/keys"', "keys cannot be used: The key store cannot be in 'mysql'."),
            ('keys.url = "my:secret@host"', "keys cannot be used: The URL of the key store is none."),
            ('keys = { url = "sqlite:///k", pepper = "literal" }', "keys.pepper holds the secret itself."),
            ('keys = { url = "sqlite:///k", pepper = "env:NO" }', "keys.pepper names the environment variable 'NO'"),
            ('keys = { url = "sqlite:///k", pepper = "env:SHORT" }', "keys cannot be used: Pepper 1 has 5 characters."),
        ],
    )
    def test_a_mistake_is_said_in_words(self, text: str, mistake: str) -> None:
        (found,) = mistakes(text, SHORT="short")
        assert found.startswith(mistake)
        assert "short" not in found
        assert "my:secret" not in found

    def test_without_sqlalchemy_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "xrouter_asgi.keys.sql", raising=False)
        monkeypatch.setitem(sys.modules, "sqlalchemy", None)
        (found,) = mistakes('keys.url = "sqlite:///keys.db"')
        assert found.startswith("keys cannot be used: SQLKeyStore needs SQLAlchemy")
        assert 'pip install "xrouter-asgi[sql]"' in found

    def test_the_environment_alone_may_name_them(self) -> None:
        environment = {"GIGACHAT_CREDENTIALS": "YTpi", "XROUTER_KEYS_URL": "sqlite:///k.db"}
        plain = Settings.from_environment(environment=environment).keys
        peppered = Settings.from_environment(environment={**environment, "XROUTER_KEYS_PEPPER": PEPPER}).keys
        assert plain is not None
        assert peppered is not None
        assert [plain.hasher.version, peppered.hasher.version] == [0, 1]

    def test_a_mistake_in_the_environment_names_the_variable(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Settings.from_environment(environment={"GIGACHAT_CREDENTIALS": "YTpi", "XROUTER_KEYS_URL": "mysql://h"})
        assert str(caught.value).startswith("environment: XROUTER_KEYS_URL cannot be used: The key store cannot be in")


class TestLoadingKeysAlone:
    def test_no_other_secret_need_be_at_hand(self, tmp_path: Path) -> None:
        file = tmp_path / "x.toml"
        file.write_text('keys.url = "sqlite:///k.db"\n[providers.g]\nkind = "gigachat"\ncredentials = "env:NOT_SET"')
        table = load_keys(file, environment={})
        assert table is not None
        assert table.url.get_secret_value() == f"sqlite:///{tmp_path}/k.db"

    def test_the_variable_names_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.toml").write_text('keys.url = "sqlite:///k.db"')
        assert load_keys(environment={"XROUTER_CONFIG": str(tmp_path / "x.toml")}) is not None

    @pytest.mark.parametrize("text", [None, ECHO])
    def test_without_a_file_or_the_table_there_are_none(
        self, text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        if text is not None:
            Path("xrouter.toml").write_text(text)
        assert load_keys(environment={}) is None

    def test_mistakes_are_told_with_their_places(self, tmp_path: Path) -> None:
        file = tmp_path / "x.toml"
        file.write_text('[keys]\npepper = "env:NO"\nuri = "sqlite:///k.db"')
        with pytest.raises(SettingsError) as caught:
            load_keys(file, environment={})
        assert [problem.removeprefix(f"{file}: ")[:30] for problem in caught.value.problems] == [
            "keys.url is missing. Write it.",
            "keys.pepper names the environm",
            "keys has no key 'uri'. Did you",
        ]
        assert caught.value.__context__ is None


class TestRateLimit:
    def test_without_a_table_there_are_none(self) -> None:
        assert read("").limits is None

    def test_keys_are_held_to_their_own_also_without_the_table(self) -> None:
        limits = read('keys.url = "sqlite:///k.db"').limits
        assert limits is not None
        assert limits.limit == ()

    def test_they_are_counted_in_memory_unless_a_storage_is_named(self) -> None:
        alone = read('rate_limit.limit = "60/minute; 8 parallel"').limits
        assert alone is not None
        assert isinstance(alone.build(), MemoryLimits)
        text = (
            'rate_limit = { limit = ["60/minute"], storage = "env:R", when_unavailable = "closed", workers = 4, '
            "ietf = true }"
        )
        shared = read(text, R="redis://:secret@127.0.0.1:1/0").limits
        assert shared is not None
        assert isinstance(shared.build(), RedisLimits)
        assert "secret" not in repr(shared)

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            (
                'limit = "60/fortnight"',
                "rate_limit.limit cannot be used: The limit '60/fortnight' cannot be read. A limit is",
            ),
            ("limit = 60", 'rate_limit.limit is 60. Write a limit such as "60/minute", or a list of them.'),
            ("limit = [60]", 'rate_limit.limit is [60]. Write a limit such as "60/minute", or a list of them.'),
            (
                'limits = "1/day"',
                "rate_limit has no key 'limits'. Did you mean 'limit'? Known: allow_per_process, assumed_output,",
            ),
            ('models.bird = "many"', "rate_limit.models.bird cannot be used: The limit 'many' cannot be read."),
            (
                'models.brid = "1/day"',
                "rate_limit.models.brid is the name of no model. Did you mean 'bird'? Known: bird,",
            ),
            (
                'when_unavailable = "panic"',
                "rate_limit.when_unavailable is 'panic'. Write 'degrade', 'open' or 'closed'.",
            ),
            (
                'storage = "mongodb://:secret@h"',
                "rate_limit cannot be used: RedisLimits cannot use a URL of this scheme.",
            ),
            (
                'models = { "b*" = "1/day", "B*" = "2/day" }',
                "rate_limit cannot be used: Two of these models differ in case only: b*, B*.",
            ),
            ("assumed_output = -1", "rate_limit.assumed_output is -1. It should be greater than or equal to 0."),
            ('storage = "redis+sentinel://h:1"', "rate_limit cannot be used: The URL names no service. Write"),
            ("workers = 0", "rate_limit.workers is 0. It should be greater than 0."),
        ],
    )
    def test_a_mistake_is_said_in_words(self, text: str, mistake: str) -> None:
        (found,) = mistakes(f"[rate_limit]\n{text}")
        assert found.startswith(mistake)
        assert "secret" not in found

    @pytest.mark.parametrize("name", ["bird", "cat-9", "cat-*", "*"])
    def test_a_model_may_be_limited_by_its_name_or_by_a_pattern(self, name: str) -> None:
        limits = read(f'rate_limit.models."{name}" = "1/day"').limits
        assert limits is not None
        assert limits.models == {name: ("1/day",)}

    def test_without_redis_py_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis.asyncio", None)
        (found,) = mistakes('rate_limit.storage = "redis://127.0.0.1"')
        assert found.startswith("rate_limit cannot be used: RedisLimits needs redis-py.")


class TestResponses:
    def test_they_are_kept_in_memory_unless_the_settings_say_otherwise(self) -> None:
        assert isinstance(read("").responses.build(), MemoryResponses)
        assert read('responses.store = "off"').responses.build() is None
        shared = read('responses = { store = "env:R", ttl = 7 }', R="redis://:secret@cache.example/1").responses
        assert isinstance(store := shared.build(), RedisResponses)
        assert store.ttl == 7
        assert "secret" not in repr(shared)

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            ('store = "mongodb://:secret@h"', "responses cannot be used: A Redis of responses cannot use this URL."),
            ("ttl = 0", "responses.ttl is 0. It should be greater than 0."),
            ("max_bytes = -1", "responses.max_bytes is -1. It should be greater than 0."),
            ("size = 1", "responses has no key 'size'. Known: max_bytes, store, ttl."),
        ],
    )
    def test_a_mistake_is_said_in_words(self, text: str, mistake: str) -> None:
        (found,) = mistakes(f"[responses]\n{text}")
        assert found.startswith(mistake)
        assert "secret" not in found

    def test_without_redis_py_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "redis.asyncio", None)
        (found,) = mistakes('responses.store = "redis://127.0.0.1"')
        assert found.startswith("responses cannot be used: A Redis of responses needs redis-py.")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "kept in memory, 3600 s after their last use; several workers need a Redis"),
            ('responses.store = "off"', "not kept"),
            ('responses.store = "redis://:secret@h:1/2"', "kept in redis://h:1/2, 3600 s after their last use"),
        ],
    )
    def test_check_says_where_they_are_kept(self, text: str, said: str) -> None:
        [line] = [line for line in describe_layers(read(text)).splitlines() if line.startswith("responses")]
        assert line.removeprefix("responses").strip().startswith(said)


class TestCORS:
    @pytest.mark.parametrize("origin", ["https://chat.example", "http://localhost:3000", "*", "chrome-extension://abc"])
    def test_an_origin_is_written_as_browsers_do(self, origin: str) -> None:
        cors = read(f'cors.origins = ["{origin}"]').cors
        assert cors is not None
        assert cors.origins == (origin,)

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            ("origins = []", "cors.origins is empty. Write at least one."),
            ('origins = "https://a.example"', "cors.origins is 'https://a.example'. Write a list."),
            ('origins = ["https://a.example/"]', "cors.origins[0] is 'https://a.example/'. Write an origin as"),
            ('origins = ["a.example"]', "cors.origins[0] is 'a.example'. Write an origin as browsers do"),
            ('origin = ["*"]\norigins = ["*"]', "cors has no key 'origin'. Did you mean 'origins'? Known: max_age,"),
        ],
    )
    def test_a_mistake_is_said_in_words(self, text: str, mistake: str) -> None:
        (found,) = mistakes(f"[cors]\n{text}")
        assert found.startswith(mistake)
