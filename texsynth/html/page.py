"""The single door to HTML pages: Jinja templates, one style, and a head that lets nothing be loaded."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import texsynth
from texsynth.images.files import as_text


def render(kind: str, *, title: str, **context: object) -> Iterator[str]:
    """The page of `templates/KIND.html.j2`, with the style and script of that name, in pieces.

    Iterators in `context` are consumed as the page grows. All values are escaped, and need not be text that
    UTF-8 can hold: names of files are welcome.
    """
    script = f"\n{_asset(f'{kind}.js')}"
    # The browser runs this one script and no other, should markup ever get in with a name.
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = _environment().get_template(f"{kind}.html.j2")
    return template.generate(
        kind=kind,
        title=title,
        version=texsynth.__version__,
        style=Markup(_asset("page.css") + _asset(f"{kind}.css")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        **context,
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("texsynth", "html/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: as_text(value) if type(value) is str else value,
    )
    environment.filters["data_uri"] = data_uri
    return environment


def data_uri(data: bytes, kind: str) -> str:
    """Return a picture inside the page. kind: `png` or `jpeg`."""
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def _asset(name: str) -> str:
    return (files("texsynth.html") / name).read_text(encoding="utf-8")
