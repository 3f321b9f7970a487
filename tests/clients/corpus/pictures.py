"""Pictures as clients make them (kind 9)."""

from __future__ import annotations

import base64
from urllib.parse import quote

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2 + b"\x00"
CODED = base64.b64encode(PNG).decode()
SAFE = base64.urlsafe_b64encode(PNG).decode()
LINES = base64.encodebytes(PNG).decode()

PICTURES = {
    "proper": f"data:image/png;base64,{CODED}",
    "with-lines": f"data:image/png;base64,{LINES}",
    "with-quoted-lines": f"data:image/png;base64,{quote(LINES)}",
    "with-spaces": f" data:image/png;base64,  {CODED} ",
    "without-padding": f"data:image/png;base64,{CODED.rstrip('=')}",
    "url-alphabet": f"data:image/png;base64,{SAFE}",
    "bare": CODED,
    "bare-lines": LINES,
    "capitals": f"DATA:IMAGE/PNG;BASE64,{CODED}",
    "another-type": f"data:image/jpeg;base64,{CODED}",
    "text-type": f"data:text/plain;base64,{CODED}",
    "no-type": f"data:;base64,{CODED}",
}
NO_PICTURES = {
    "empty": "data:image/png;base64,",
    "text": f"data:image/png;base64,{base64.b64encode(b'a text').decode()}",
}
