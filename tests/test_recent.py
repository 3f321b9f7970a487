from __future__ import annotations

from xrouter_asgi.recent import Recent


def recent(*keys: str, capacity: int = 2) -> Recent[str, str]:
    entries: Recent[str, str] = Recent(capacity)
    for key in keys:
        entries.put(key, key.upper())
    return entries


def test_a_new_entry_replaces_the_least_recently_used_one() -> None:
    entries = recent("a", "b")
    assert entries.put("c", "C") == "A"
    assert list(entries.items()) == [("b", "B"), ("c", "C")]


def test_nothing_goes_while_there_is_room() -> None:
    entries = recent("a")
    assert entries.put("b", "B") is None
    assert len(entries) == 2


def test_getting_an_entry_is_a_use() -> None:
    entries = recent("a", "b")
    assert entries.get("a") == "A"
    assert entries.put("c", "C") == "B"


def test_setting_an_entry_again_is_a_use_and_replaces_no_other() -> None:
    entries = recent("a", "b")
    assert entries.put("a", "new") is None
    assert entries.put("c", "C") == "B"
    assert entries.get("a") == "new"


def test_asking_whether_an_entry_is_there_is_no_use() -> None:
    entries = recent("a", "b")
    assert "a" in entries
    assert entries.put("c", "C") == "A"


def test_what_is_discarded_is_gone() -> None:
    entries = recent("a", "b")
    entries.discard("a")
    entries.discard("never there")
    assert entries.get("a") is None
    assert list(entries.values()) == ["B"]
    entries.clear()
    assert not entries
