from __future__ import annotations

from typing import Any

import pytest

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.gigachat.request.attachments import MAX_IMAGES, Attachment, attachments

from ..translating import STATE, chat, refusal, result, said

PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}


def file(**members: Any) -> dict[str, Any]:
    return {"type": "file", "file": members}


def audio(**members: Any) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": members}


def only(part: dict[str, Any]) -> Attachment:
    (found,) = attachments(chat(said("user", [part])))
    return found


def test_attachments_are_found_in_order_with_their_places() -> None:
    text = {"type": "text", "text": "Look"}
    request = chat(said("user", [text, PICTURE, audio(data="AAAA", format="mp3")]), result("1", [PICTURE]))
    assert [item.param for item in attachments(request)] == [
        "messages[0].content[1].image_url",
        "messages[0].content[2].input_audio",
        "messages[1].content[0].image_url",
    ]


def test_a_picture_is_its_address() -> None:
    assert only(PICTURE) == Attachment("messages[0].content[0].image_url", url="https://example.org/a.png")


def test_a_file_of_the_client_is_its_id() -> None:
    expected = Attachment("messages[0].content[0].file", file_id=STATE, filename="a.pdf")
    assert only(file(file_id=STATE, filename="a.pdf")) == expected


@pytest.mark.parametrize(
    ("data", "filename", "url"),
    [
        ("data:application/pdf;base64,JVBE", "a.pdf", "data:application/pdf;base64,JVBE"),
        ("https://example.org/a.pdf", None, "https://example.org/a.pdf"),
        ("JVBE", "a.pdf", "data:;base64,JVBE"),
        ("JVBE", None, "data:;base64,JVBE"),
    ],
)
def test_a_files_data_becomes_an_address(data: str, filename: str | None, url: str) -> None:
    members = {"file_data": data} | ({"filename": filename} if filename else {})
    assert only(file(**members)) == Attachment("messages[0].content[0].file", url=url, filename=filename)


@pytest.mark.parametrize("kind", ["wav", "mp3", "ogg"])
@pytest.mark.parametrize(
    ("data", "url"),
    [
        ("AAAA", "data:;base64,AAAA"),
        ("data:audio/wav;base64,AAAA", "data:audio/wav;base64,AAAA"),
        ("https://example.org/a.wav", "data:;base64,https://example.org/a.wav"),  # refused later: no base64
    ],
)
def test_a_recording_becomes_a_data_url_and_is_never_fetched(kind: str, data: str, url: str) -> None:
    assert only(audio(data=data, format=kind)) == Attachment("messages[0].content[0].input_audio", url=url)


@pytest.mark.parametrize(
    ("part", "param", "code"),
    [
        (file(file_id="file-abc"), "messages[0].content[0].file.file_id", "invalid_value"),
        (file(filename="a.pdf"), "messages[0].content[0].file.file_data", "missing_required_parameter"),
        (audio(format="wav"), "messages[0].content[0].input_audio", "invalid_value"),
        (audio(data="AAAA", format=1), "messages[0].content[0].input_audio", "invalid_value"),
        ({"type": "input_audio"}, "messages[0].content[0].input_audio", "invalid_value"),
        ({"type": "video_url", "video_url": {}}, "messages[0].content[0].type", "unsupported_value"),
    ],
)
def test_what_cannot_be_attached_is_refused(part: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        attachments(chat(said("user", [part])))
    assert (refused.value.param, refused.value.code) == (param, code)


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_only_users_and_results_have_attachments(role: str) -> None:
    request = chat(said(role, [PICTURE]), said("user"))
    with pytest.raises(InvalidRequest) as refused:
        attachments(request)
    assert refused.value.param == "messages[0].content[0].type"
    assert refusal(request) == ("messages[0].content[0].type", "unsupported_value")


def test_as_many_images_are_taken_as_gigachat_takes() -> None:
    messages = [said("user", [PICTURE])] * MAX_IMAGES
    assert len(attachments(chat(*messages, said("user", [file(file_id=STATE)])))) == MAX_IMAGES + 1
    with pytest.raises(InvalidRequest) as refused:
        attachments(chat(*messages, said("user", [PICTURE])))
    assert (refused.value.param, refused.value.code) == (
        "messages[10].content[0].image_url",
        "array_above_max_length",
    )


def test_the_bytes_stay_out_of_reprs() -> None:
    assert "JVBE" not in repr(only(file(file_data="JVBE")))
