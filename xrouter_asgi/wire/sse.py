"""Server-sent events, read and written without I/O.

Framing follows the WHATWG HTML standard, 9.2.6 "Interpreting an event stream", with two bounds that it lacks, on a line
and on an event, and three leniencies. The last event counts even if the stream ends before its blank line: JSON that is
cut off does not parse, so no broken event looks whole. White space before `data:` is passed over. Objects and `[DONE]`
on lines of their own are events though no blank line stands between them, as some hosts of GLM and Kimi send them: in
no JSON text does a line that begins with a bracket follow one that ends with a brace.
"""

from __future__ import annotations

from ..errors import UpstreamError

MAX_EVENT = 32 << 20
"""Bytes. As much as a whole answer: an event may hold a picture, or all arguments of a call."""

DONE = b"data: [DONE]\n\n"

_BOM = b"\xef\xbb\xbf"
_LONGEST_BLANK = 64  # bytes behind a brace; all the data would be copied for each of its lines
_LF, _CR = b"\n\r"  # CPython 3.11 finds a number in bytes ten times as fast as bytes in bytes


def encode_event(data: bytes) -> bytes:
    """One event with one `data:` line, because the simplest clients read no more than one.

    Line breaks in the JSON become spaces.
    """
    if _LF in data:
        data = data.replace(b"\n", b" ")
    return b"data: %b\n\n" % data


class EventReader:
    """Bytes in, payloads of complete events out. Skips comments and the fields `event`, `id` and `retry`.

    Args:
        limit: The largest event that is accepted, in bytes.
    """

    def __init__(self, *, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._tail = bytearray()  # a line that has not ended yet
        self._data: bytes | bytearray | None = None  # of the event under way, if it has any
        self._started = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes. Raises UpstreamError (`too_large`) for an event beyond the limit."""
        if self._started and self._data is None and not (self._tail or self._after_cr) and chunk[:6] == b"data: ":
            line = chunk[6:-2]
            if chunk[-2:] == b"\n\n" and _LF not in line and _CR not in line and 0 < len(line) < self._limit:
                return [line]  # most upstreams send one event per read
        if self._started and self._data is None and not (self._tail or self._after_cr) and chunk[:7] == b"event: ":
            begin = chunk.find(_LF) + 1
            line = chunk[begin + 6 : -2]
            ends = chunk[begin : begin + 6] == b"data: " and chunk[-2:] == b"\n\n"
            if ends and _LF not in line and _CR not in chunk and 0 < len(line) < self._limit:
                return [line]  # the same with a name
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        if _CR in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines: list[bytes] = []
        if _LF in chunk:
            *lines, chunk = (bytes(self._tail) + chunk).split(b"\n")
            self._tail.clear()
        self._tail += chunk
        if len(self._tail) > self._limit:
            raise self._too_large()
        return self._events(lines)

    def close(self) -> list[bytes]:
        """The event that the end of the stream completes, if any."""
        lines = [bytes(self._tail), b""]
        self._tail.clear()
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        if lines and not self._started:
            lines[0] = lines[0].removeprefix(_BOM)
            self._started = True
        events: list[bytes] = []
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line.startswith(b"data: ") else line[5:]
                self._append(value, events)
            elif line == b"data":
                self._append(b"", events)
            elif not line and self._data is not None:
                # An event without data says nothing, and an empty event breaks clients.
                if self._data:
                    events.append(bytes(self._data))
                self._data = None
            elif line[:1] in (b" ", b"\t") and (field := line.lstrip(b" \t")).startswith(b"data:"):
                self._append(field[5:].removeprefix(b" "), events)
        return events

    def _append(self, value: bytes, events: list[bytes]) -> None:
        """Add a line of data. If it begins an event of its own, the event before it goes to `events`."""
        if self._data and value[:1] in (b"{", b"[") and self._data[-_LONGEST_BLANK:].rstrip()[-1:] == b"}":
            events.append(bytes(self._data))
            self._data = None
            if value == b"[DONE]":
                events.append(value)  # nothing may follow that would complete it
                return
        if self._data is None:
            self._data = value
        else:
            # Not a list of lines: short ones would take many times their size.
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += b"\n"
            self._data += value
        if len(self._data) > self._limit:
            raise self._too_large()

    def _too_large(self) -> UpstreamError:
        # This is no sign of an unhealthy upstream.
        message = f"The upstream sent an event of more than {self._limit} bytes."
        return UpstreamError(message, code="too_large", trips=False)
