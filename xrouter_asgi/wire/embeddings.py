"""`POST /v1/embeddings`: the request, and the two formats of a vector."""

from __future__ import annotations

import re
import struct
from base64 import b64decode, b64encode
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from ..errors import UpstreamError
from .codec import decode
from .documents import Document, EmbeddingList
from .validation import WireModel
from .values import Integer, ModelName, Name, Text


def text_or_tokens(value: Any) -> str | None:
    """A discriminator: a text, a list of texts, of tokens, or of lists of tokens."""
    if isinstance(value, str):
        return "<text>"
    if not isinstance(value, list):
        return None
    first = value[0] if value else ""
    if isinstance(first, list):
        return "<token lists>"
    return "<tokens>" if isinstance(first, int) and not isinstance(first, bool) else "<texts>"


text_or_tokens.__name__ = "a string or an array"

_MAX_DIMENSIONS = 65_536  # the bound of Qdrant, the widest of all vector stores

_LONGEST_ANSWER = 128 << 20
_VECTOR = re.compile(rb'"embedding"\s*:\s*(\[[^]["{}]*\])')

Tokens = Annotated[list[Integer], Field(min_length=1, max_length=300_000)]


class EmbeddingsRequest(WireModel):
    """Texts, or tokenised texts, to be turned into vectors. At most 2048 of them, none empty."""

    model: ModelName
    input: Annotated[
        Annotated[Name, Tag("<text>")]
        | Annotated[list[Name], Field(min_length=1, max_length=2048), Tag("<texts>")]
        | Annotated[Tokens, Tag("<tokens>")]
        | Annotated[list[Tokens], Field(min_length=1, max_length=2048), Tag("<token lists>")],
        Discriminator(text_or_tokens),
    ]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[Integer, Field(ge=1, le=_MAX_DIMENSIONS)] | None = None
    user: Text | None = None

    @property
    def inputs(self) -> int:
        """How many vectors are asked for."""
        return len(self.input) if isinstance(self.input, list) and not isinstance(self.input[0], int) else 1


def answer_limit(inputs: int) -> int:
    """The bytes of an answer for so many inputs: 8,192 numbers each, 32 bytes a number, as if encoded with indents."""
    return min((1 << 20) + inputs * (256 << 10), _LONGEST_ANSWER)


def decode_vectors(data: bytes) -> Any:
    """Parse an answer vector by vector; all else in it is bounded like a request. Raises ValueError, see `decode`."""
    rest: list[bytes] = []
    vectors: list[bytes] = []
    end = 0
    for found in _VECTOR.finditer(data):
        rest += data[end : found.start(1)], b"%d" % len(vectors)
        vectors.append(found[1])
        end = found.end()
    if not vectors:
        return decode(data)
    value = decode(b"".join([*rest, data[end:]]))
    rows = value.get("data") if isinstance(value, dict) else None
    numbered = [row for row in rows if _is_numbered(row)] if isinstance(rows, list) else []
    if [row["embedding"] for row in numbered] != [*range(len(vectors))]:
        raise ValueError("a vector stands where none belongs, or a number in its place")
    for row, vector in zip(numbered, vectors, strict=True):
        row["embedding"] = decode(vector)
    return value


def _is_numbered(row: object) -> bool:
    return isinstance(row, dict) and type(row.get("embedding")) is int


def in_order(answer: EmbeddingList, inputs: int) -> EmbeddingList:
    """The answer with its vectors in the order of the inputs. Many clients zip the two and never look at an index.

    Without any index the vectors are taken to be in order.

    Raises:
        UpstreamError: `bad_body` unless there is one vector for each input, all of finite numbers and of one length.
    """
    rows = answer.value.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _bad_vectors("The upstream's answer holds no vectors.")
    indexes = [row.get("index") for row in rows]
    places = list(range(inputs))
    if indexes != places or {*map(type, indexes)} != {int}:
        if indexes == [None] * inputs:
            indexes = places
        if {*map(type, indexes)} != {int} or sorted(indexes) != places:
            raise _bad_vectors("The upstream's answer does not hold one vector for each input.")
        told = sorted(zip(indexes, rows, strict=True), key=lambda pair: pair[0])
        answer = answer.replace(data=[{**row, "index": index} for index, row in told])
    try:
        lengths = {_length(row.get("embedding")) for row in rows}
    except (ValueError, OverflowError, struct.error) as error:
        raise _bad_vectors("The upstream sent embeddings that are no vectors.") from error
    if len(lengths) != 1 or 0 in lengths:
        raise _bad_vectors("The upstream sent vectors of different lengths, or empty ones.")
    return answer


def _length(vector: object) -> int:
    """How many numbers a vector has, in either format. Raises ValueError or OverflowError if it is none."""
    if isinstance(vector, str):
        return _packed_length(b64decode(vector))
    if not isinstance(vector, list) or not {*map(type, vector)} <= {float, int} or not isfinite(sum(vector, 0.0)):
        raise ValueError("not a list of finite numbers")
    return len(vector)


def _packed_length(packed: bytes) -> int:
    """The same for little-endian float32. Makes no floats unless a number is beyond 1e38, as in no vector it is."""
    length, rest = divmod(len(packed), 4)
    high = packed[3::4]  # sign, and seven of eight bits of the exponent
    if rest or ((0x7F in high or 0xFF in high) and not all(map(isfinite, struct.unpack(f"<{length}f", packed)))):
        raise ValueError("not a list of finite numbers")
    return length


def _bad_vectors(message: str) -> UpstreamError:
    return UpstreamError(message, code="bad_body")


def in_format(answer: Document, wanted: str) -> Document:
    """Convert the vectors to lists of floats (`float`) or to little-endian float32 in base64 (`base64`).

    OpenAI's Node SDK always asks for base64, and misreads floats. Raises UpstreamError for vectors that are none.
    """
    items = answer.value["data"]
    if all(isinstance(item["embedding"], str) == (wanted == "base64") for item in items):
        return answer
    convert = _to_base64 if wanted == "base64" else _to_floats
    try:
        return answer.replace(data=[{**item, "embedding": convert(item["embedding"])} for item in items])
    except (ValueError, OverflowError, struct.error) as error:
        raise UpstreamError("The upstream sent embeddings that are no vectors of float32.", code="bad_body") from error


def _to_base64(vector: str | list[float]) -> str:
    if isinstance(vector, str):
        return vector
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")


def _to_floats(vector: str | list[float]) -> list[float]:
    if not isinstance(vector, str):
        return vector
    packed = b64decode(vector)
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))
