"""A hook of MkDocs: pages that are right in the repository are right on the site, too."""

import re

from mkdocs.config.defaults import MkDocsConfig

_OTHER_LANGUAGE = re.compile(r"\s?\*(?:По-русски|In English):\s\[[^\]]*\]\([^)]*\)\.\*")


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: object) -> str:
    markdown = _OTHER_LANGUAGE.sub("", markdown)  # the site has a button for it
    markdown = re.sub(r"^(```\w+) .+$", r"\1", markdown, flags=re.MULTILINE)  # titles are for tests/test_docs.py
    markdown = markdown.replace(".ru.md)", ".md)").replace(".ru.md#", ".md#")  # the site chooses by its language
    return re.sub(
        r"\]\(\.\./(?=[\w.])", f"]({config.extra['repository']}/blob/main/", markdown
    )  # what lies beside docs/
