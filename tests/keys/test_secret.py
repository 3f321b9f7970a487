from __future__ import annotations

import hashlib
import hmac
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrouter_asgi.keys import Hasher, new_secret, well_formed
from xrouter_asgi.keys.secret import ALPHABET, KINDS, bits, importable

PEPPER, OLDER = "p" * 32, "o" * 32
SECRET = "xr_live_ZXQctJ1uYXBz70kGfNXbGUPoOe1VGKyU2MssRu"


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_secret_names_its_kind_and_is_well_formed(kind: str) -> None:
    secret = new_secret(kind)
    assert re.fullmatch(rf"xr_{kind}_[0-9A-Za-z]{{38}}", secret)
    assert well_formed(secret)


def test_a_live_secret_has_46_characters() -> None:
    assert len(new_secret()) == 46


def test_no_secret_is_made_of_an_unknown_kind() -> None:
    with pytest.raises(ValueError, match=r"'master' is unknown\. Known: live, test, admin"):
        new_secret("master")


def test_a_thousand_secrets_are_different_and_use_the_whole_alphabet() -> None:
    secrets = {new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert (
        {char for secret in secrets for char in secret[8:40]}
        == set(ALPHABET)
        == set(string.ascii_letters + string.digits)
    )


def test_the_checksum_is_crc32_in_base_62() -> None:
    body = "xr_live_" + "0" * 32
    assert [tail for tail in _tails(body) if well_formed(body + tail)] == [_base62(_crc32(body.encode()))]


def _tails(body: str) -> list[str]:
    return [_base62(_crc32(body.encode()) + offset) for offset in range(-3, 4)]


def _crc32(data: bytes) -> int:
    """Bit by bit, as ISO 3309 has it."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def _base62(number: int) -> str:
    return "".join(ALPHABET[number // 62**place % 62] for place in range(5, -1, -1))


@given(place=st.integers(0, 45), char=st.sampled_from(ALPHABET + "_"))
def test_a_secret_with_one_character_wrong_is_not_well_formed(place: int, char: str) -> None:
    secret = "xr_live_" + "aB3" * 10 + "zz" + _base62(_crc32(("xr_live_" + "aB3" * 10 + "zz").encode()))
    assert well_formed(secret)
    changed = secret[:place] + char + secret[place + 1 :]
    assert well_formed(changed) == (changed == secret)


@pytest.mark.parametrize("junk", ["", "xr_live_", "sk-" + "a" * 43, SECRET + "\n", " " + SECRET, "xr_live_" + "٣" * 38])
def test_junk_is_not_well_formed(junk: str) -> None:
    assert well_formed(SECRET)
    assert not well_formed(junk)


@given(st.text())
def test_no_text_breaks_the_check_of_form(text: str) -> None:
    assert not well_formed(text)


@pytest.mark.parametrize(
    ("secret", "usable"),
    [
        ("sk-abc", True),
        ("", False),
        ("a b", False),
        ("a\n", False),
        ("a\x00", False),
        ("ключ", False),
        ("x" * 513, False),
    ],
)
def test_only_what_can_stand_in_a_header_is_importable(secret: str, usable: bool) -> None:
    assert importable(secret) is usable


@pytest.mark.parametrize(
    ("secret", "least", "most"),
    [
        ("0123456789abcdef0123456789abcdef", 128, 128),  # hexadecimal
        ("sk-0123456789abcdef0123456789abcdef", 128, 128),  # a prefix adds nothing
        ("sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8x", 142, 143),
        ("passwordpasswordpasswordpasswordpassword", 98, 99),  # it repeats itself
        ("01234567890123456789012345678901", 99, 100),  # decimal
        ("123e4567-e89b-42d3-a456-4266141f4000", 79, 81),  # a UUID: its short parts do not count
        ("abcdefghijklmnopqrstuvwxyzab", 131, 132),
        ("0a1b2c3z4d5e6f7g8h9i0j1k2l3m", 144, 145),
        ("password-password-password-password", 37, 38),  # a part that comes again adds nothing
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 12, 12),  # three hexadecimal digits
    ],
)
def test_bits_follow_the_alphabet_of_the_longer_parts(secret: str, least: float, most: float) -> None:
    assert least <= bits(secret) <= most


def test_a_digest_without_a_pepper_is_sha_256() -> None:
    hasher = Hasher()
    assert hasher.digests("secret") == (hashlib.sha256(b"secret").digest(),)
    assert (hasher.version, str(hasher)) == (0, "SHA-256 without a pepper")


def test_a_digest_with_peppers_is_hmac_the_newest_first() -> None:
    hasher = Hasher({1: OLDER, 2: PEPPER, 0: ""})
    new, old = (hmac.new(pepper.encode(), b"secret", "sha256").digest() for pepper in (PEPPER, OLDER))
    assert hasher.digests("secret") == (new, old, hashlib.sha256(b"secret").digest())
    assert (hasher.digest("secret"), hasher.version, str(hasher)) == (new, 2, "HMAC-SHA-256 with pepper 2")


@pytest.mark.parametrize(
    ("text", "versions"),
    [("", "[0]"), (" ", "[0]"), (PEPPER, "[1]"), (f"1:{PEPPER}", "[1]"), (f"1:{OLDER}, 3:{PEPPER},0:", "[3, 1, 0]")],
)
def test_peppers_are_read_from_a_text(text: str, versions: str) -> None:
    assert repr(Hasher.parse(text)) == f"Hasher(versions={versions})"


def test_a_pepper_alone_is_version_1() -> None:
    assert Hasher.parse(PEPPER).digest("secret") == Hasher({1: PEPPER}).digest("secret")


@pytest.mark.parametrize(
    "text",
    ["short", "1:short", f"0:{PEPPER}", "1:", f"1:{PEPPER},1:{OLDER}", f"{PEPPER},{OLDER}", f"1:{PEPPER},{OLDER}", ","],
)
def test_peppers_that_protect_nothing_or_are_ambiguous_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ValueError, match=r"[pP]epper") as caught:
        Hasher.parse(text)
    assert PEPPER not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_negative_version_is_refused() -> None:
    with pytest.raises(ValueError, match="Pepper -1"):
        Hasher({-1: PEPPER})


def test_a_hasher_does_not_show_its_peppers() -> None:
    hasher = Hasher({1: OLDER, 2: PEPPER})
    assert PEPPER not in f"{hasher!r} {hasher} {hasher.__dict__.keys()}"


@given(st.binary(min_size=16, max_size=16).filter(lambda data: len(set(data.hex())) > 10))
def test_128_random_bits_in_hexadecimal_are_enough(data: bytes) -> None:
    assert bits(data.hex()) >= 128 or not set(data.hex()) & set("abcdef")
