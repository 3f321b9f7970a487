from __future__ import annotations

import json

import pytest

from xrouter_asgi.context import CostEstimate
from xrouter_asgi.dialects.embeddings import EMBEDDINGS
from xrouter_asgi.errors import UpstreamError
from xrouter_asgi.testing.scripted import embeddings
from xrouter_asgi.wire import EmbeddingList

from .contract import DialectContract


class TestEmbeddings(DialectContract):
    dialect = EMBEDDINGS
    answer = embeddings()

    def test_the_provider_gets_the_bytes_of_the_client(self) -> None:
        body = b'{ "input":"x", "model":"m" }'
        assert EMBEDDINGS.read(json.loads(body), body, ()).document.data is body

    def test_vectors_cost_no_tokens(self) -> None:
        body = b'{"model":"m","input":"x"}'
        assert EMBEDDINGS.read(json.loads(body), body, ()).estimate() == CostEstimate("m", len(body) // 2, 0)

    @pytest.mark.parametrize(
        ("wanted", "vector"), [(None, [0.5, -0.5]), ("float", [0.5, -0.5]), ("base64", "AAAAPwAAAL8=")]
    )
    def test_vectors_come_in_the_format_that_was_asked_for(self, wanted: str | None, vector: object) -> None:
        parsed = self.read(encoding_format=wanted)
        assert json.loads(parsed.whole(embeddings()))["data"][0]["embedding"] == vector

    def test_vectors_that_are_none_are_the_fault_of_the_upstream(self) -> None:
        odd = EmbeddingList({"object": "list", "data": [{"index": 0, "embedding": [1e300]}]})
        with pytest.raises(UpstreamError, match="no vectors") as caught:
            self.read(encoding_format="base64").whole(odd)
        assert caught.value.code == "bad_body"
