"""What the HTML pages share: one style, and a head that lets nothing be loaded from elsewhere."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from importlib.resources import files
from string import Template

import texsynth
from texsynth.images.files import as_text


def opening(kind: str, title: str) -> str:
    """All before the body's content. kind: names the page's own files in this folder."""
    # The browser runs this one script and no other, should markup ever get in with a name.
    digest = b64encode(hashlib.sha256(_script(kind).encode()).digest()).decode()
    return Template(asset("page.html")).substitute(
        kind=kind,
        title=markup(title),
        version=texsynth.__version__,
        style=asset("page.css") + asset(f"{kind}.css"),
        script_hash=f"sha256-{digest}",
    )


def closing(kind: str) -> str:
    """All after the body's content."""
    return f"<script>{_script(kind)}</script>\n</body>\n</html>\n"


def asset(name: str) -> str:
    """The file of this name in this folder."""
    return (files("texsynth.html") / name).read_text(encoding="utf-8")


def markup(text: str) -> str:
    """Any text, a file name too, as HTML that shows it; also inside quotes."""
    return escape(as_text(text))


def data_uri(kind: str, data: bytes) -> str:
    """A picture inside the page. kind: `png` or `jpeg`."""
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def _script(kind: str) -> str:
    return f"\n{asset(f'{kind}.js')}"
