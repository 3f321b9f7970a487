"""What holds for every dialect. A test class per dialect inherits from this one."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from xrouter_asgi.dialects import DIALECTS, Dialect, ParsedRequest
from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.wire import Document


class DialectContract:
    """Set `dialect`, and an `answer` that a provider gives to its example."""

    dialect: ClassVar[Dialect]
    answer: ClassVar[Document]

    def read(self, **members: Any) -> ParsedRequest:
        """The example of the OpenAPI document with these members."""
        value = {**self.dialect.operation.example, **members}
        return self.dialect.read(value, json.dumps(value).encode(), ())

    def test_the_router_finds_it_in_the_table(self) -> None:
        assert self.dialect in DIALECTS

    def test_its_name_and_its_path_are_its_own(self) -> None:
        others = [dialect for dialect in DIALECTS if dialect is not self.dialect]
        assert self.dialect.name not in {dialect.name for dialect in others}
        assert self.dialect.path not in {dialect.path for dialect in others}
        assert self.dialect.path.startswith("/")

    def test_the_model_is_the_one_that_the_client_names(self) -> None:
        assert self.read(model="org/model").request.model == "org/model"

    def test_a_translation_keeps_what_the_client_wrote(self) -> None:
        parsed = self.read()
        if parsed.original is not None:
            assert parsed.original.dialect == self.dialect.name
            assert parsed.original.document.value == self.dialect.operation.example
            assert parsed.document is not parsed.original.document

    def test_an_unknown_member_reaches_the_provider_or_is_told_to_be_ignored(self) -> None:
        parsed = self.read(odd=[1])
        if parsed.document.value.get("odd") != [1]:
            assert list(parsed.warnings) == ["odd_ignored"]
            assert "odd" not in parsed.document.value

    @pytest.mark.parametrize("value", [{}, {"model": "m"}, {"model": 1}])
    def test_an_incomplete_request_is_the_client_s_fault(self, value: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest) as caught:
            self.dialect.read(value, json.dumps(value).encode(), ())
        assert caught.value.status == 400
        assert caught.value.param

    def test_an_estimate_grows_with_the_body(self) -> None:
        short, long = self.read().estimate(), self.read(padding="x" * 1000).estimate()
        assert short.model == self.dialect.operation.example["model"]
        assert 0 < short.prompt_tokens < long.prompt_tokens

    def test_an_answer_of_the_right_type_becomes_the_json_that_the_document_shows(self) -> None:
        parsed = self.read()
        assert isinstance(self.answer, parsed.answer_type)
        self.dialect.operation.answer.model_validate_json(parsed.whole(self.answer))

    def test_only_a_request_that_may_be_streamed_has_a_writer_and_an_event_in_the_document(self) -> None:
        streams = self.read(stream=True).writer() is not None
        operation = self.dialect.operation
        assert (operation.event is not None, operation.stream is not None) == (streams, streams)

    def test_a_request_that_asks_for_no_stream_has_no_writer(self) -> None:
        assert self.read(stream=False).writer() is None
        assert self.read(stream=None).writer() is None

    def test_no_two_streams_share_a_writer(self) -> None:
        parsed = self.read(stream=True)
        assert parsed.writer() is None or parsed.writer() is not parsed.writer()
