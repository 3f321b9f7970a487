"""A whole answer to a chat or to an embeddings request, read from its bytes. No I/O, and off the loop if it is long."""

from __future__ import annotations

from ...wire import ChatCompletion, EmbeddingList
from ...wire.codec import SMALL, encode
from ...wire.embeddings import decode_vectors, in_order
from ..http import ErrorReader, UpstreamAnswer
from .answers import answer_object, check_and_mend
from .chunks import ChunkReader
from .collecting import completion_of
from .mending import all_objects, take_text
from .sniffing import kind_of, without_done


def completion(
    answer: UpstreamAnswer, *, choices: int, legacy: bool, model: str, errors: ErrorReader
) -> ChatCompletion:
    """The completion, mended, though it may have come as events.

    Args:
        choices: How many were asked for.
        legacy: It answers a request to `/completions`, so each choice holds a text.

    Raises:
        XRouterError: See `answer_object`, `check_and_mend` and `completion_of`.
    """
    body = answer.body
    plain = body.startswith(b"{") and body.endswith(b"}")
    if not plain:
        body = without_done(body)
    if not plain and answer.status < 400 and body.strip() and kind_of(body, label="json") == "events":
        reader = ChunkReader(choices=choices, hide_usage=False, model=model, errors=errors)
        chunks = [*reader.feed(answer.body), *reader.close()]
        if reader.failure is not None:
            raise reader.failure
        value, mended = completion_of(chunks), True
    else:
        value, mended = answer_object(answer, body, model=model, errors=errors), body is not answer.body
        if legacy and all_objects(texts := value.get("choices")):
            for choice in texts:
                mended |= take_text(choice, "message")
    mended |= check_and_mend(value, model=model)
    if not mended:
        return ChatCompletion(value, answer.body)
    return ChatCompletion(value, encode(value) if len(body) > SMALL else None)  # on the loop it would take long


def embeddings(answer: UpstreamAnswer, *, inputs: int, model: str, errors: ErrorReader) -> EmbeddingList:
    """The vectors, in the order of the inputs. Raises XRouterError: see `answer_object` and `in_order`."""
    value = answer_object(answer, answer.body, model=model, errors=errors, decoded=decode_vectors)
    return in_order(EmbeddingList(value, answer.body), inputs)
