from __future__ import annotations

import pytest

from xrouter_asgi.providers.gigachat.options import GigaChatOptions


def test_a_maximum_below_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens is 0"):
        GigaChatOptions(max_tokens=0)


def test_a_blank_text_for_attachments_is_refused() -> None:
    with pytest.raises(ValueError, match="attachment_text is blank"):
        GigaChatOptions(attachment_text=" ")


def test_a_pattern_with_two_stars_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reasoning_models holds '\*-x\*'"):
        GigaChatOptions(reasoning_models=["glm-*", "*-x*"])
