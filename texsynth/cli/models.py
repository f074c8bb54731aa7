"""texsynth models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from texsynth.cli import options
from texsynth.cli.run import make_screen
from texsynth.cli.show import Screen
from texsynth.errors import ModelError, UsageError

if TYPE_CHECKING:
    from texsynth.models.weights import Facts


@dataclass(frozen=True)
class BriefOptions:
    """Form of what is shown, for commands that have no more to tell."""

    quiet: options.Quiet = False
    as_json: options.Json = False

    @property
    def screen(self) -> Screen:
        """The screen that the options ask for."""
        return Screen(self.quiet, as_json=self.as_json)


app = typer.Typer(
    no_args_is_help=True, help="Networks for --model: see them, fetch or import others, check them."
)


def _cached(incomplete: str) -> list[str]:
    from texsynth.models.hub.catalog import cached_names

    return [name for name in cached_names() if name.startswith(incomplete)]


def _fetchable(incomplete: str) -> list[str]:
    from texsynth.models.hub.catalog import SOURCES

    return [name for name in SOURCES if name.startswith(incomplete)]


@app.command("list")
@options.grouped
def list_models(*, brief: BriefOptions) -> None:
    """List the models: embedded ones, those in the cache, and those that can be fetched."""
    from texsynth.models.hub.cache import expected_hashes
    from texsynth.models.hub.catalog import EMBEDDED, known_names, locate, model_names
    from texsynth.models.weights import facts_of

    screen, here, names = brief.screen, model_names(), known_names()
    width = max(map(len, names))
    for name in names:
        source = "available" if name not in here else "embedded" if name in EMBEDDED else "cached"
        row = f"{name:{width}}  {source:9}"
        if source == "available":
            screen.result(f"{row}  fetch it", name=name, source=source)
            continue
        path = locate(name)
        try:
            facts = facts_of(path)
        except ModelError as error:
            screen.result(f"{row}  damaged", name=name, source=source, error=str(error))
            continue
        digest = expected_hashes(path.parent).get(path.name, "")
        screen.result(
            f"{row}  {_decoders(facts):26}  {facts.bytes / 1e6:6.1f} MB  {digest[:8] or 'no hash'}",
            name=name,
            source=source,
            **_fields(facts),
            sha256=digest,
        )


@app.command("show")
@options.grouped
def show_model(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE", help="A model or a .safetensors file.", autocompletion=options.model_names
        ),
    ],
    *,
    brief: BriefOptions,
) -> None:
    """Show a model: its widths, its decoders, what it was made from, its licence and its hash."""
    from texsynth.cli.run import check_model
    from texsynth.models.hub.cache import downloads, expected_hashes, file_hash
    from texsynth.models.hub.catalog import locate
    from texsynth.models.weights import facts_of

    check_model(model)
    path = locate(model)
    fetched = downloads(path.parent).get(model)
    facts, screen = facts_of(path), brief.screen
    digest = file_hash(path)
    if expected_hashes(path.parent).get(path.name, digest) != digest:
        screen.note(f"{path} is not as it was stored; fetch or import it again")
    lines = {
        "file": str(path),
        "widths": " ".join(map(str, facts.widths)),
        "decoders": _decoders(facts),
        "size": f"{facts.bytes / 1e6:.1f} MB",
        "sha256": digest,
        **({"fetched from": fetched["url"]} if fetched else {}),
        **dict(sorted(facts.provenance.items())),
    }
    screen.result(
        "\n".join(f"{key}: {text}" for key, text in lines.items()),
        name=model,
        file=str(path),
        widths=facts.widths,
        **_fields(facts),
        sha256=digest,
        fetched=fetched,
        provenance=dict(facts.provenance),
    )


@app.command("fetch")
@options.grouped
def fetch_model(
    name: Annotated[
        str,
        typer.Argument(
            help="A model that `list` calls available, or any name with --url.", autocompletion=_fetchable
        ),
    ],
    *,
    url: Annotated[str | None, typer.Option("--url", help="Another address of the same checkpoint.")] = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Fetch it again, and replace what is there.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="TEXSYNTH_OFFLINE", help="Never use the network.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=86400, metavar="SECONDS", help="Give up when nothing comes.")
    ] = 30,
    screen: options.ScreenOptions,
) -> None:
    """Download a published checkpoint, and keep it in the cache as a model.

    A download that was cut off goes on where it stopped. HTTPS_PROXY and NO_PROXY are honoured.

    texsynth models fetch vgg19
    """
    address = _address(name, url)
    show = make_screen(screen)
    with show.progress(1) as bar:
        bar.picture(name)
        from texsynth.models.hub.fetch import Cache, fetch
        from texsynth.pipelines.progress import Step

        def on_bytes(done: int, total: int | None) -> None:
            bar.step(Step("MB", done // 10**6, max(done, total or 0) // 10**6))

        cache = Cache(on_note=show.note, on_bytes=on_bytes)
        path = fetch(name, address, cache, force=force, offline=offline, timeout=timeout)
    _show_stored(path, show)


@app.command("import")
@options.grouped
def import_model(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="All files of one published checkpoint.")
    ],
    *,
    name: Annotated[str | None, typer.Option("--name", help="Default: that of the checkpoint.")] = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Replace a model of this name in the cache.")
    ] = False,
    screen: options.ScreenOptions,
) -> None:
    """Keep a published checkpoint from files in the cache as a model.

    texsynth models import vgg_normalised.pth
    """
    from texsynth.models.hub.catalog import check_name

    if name is not None:
        check_name(name)
    from texsynth.models.hub.fetch import Cache, import_files

    show = make_screen(screen)
    _show_stored(import_files(files, Cache(on_note=show.note), name=name, force=force), show)


@app.command("verify")
@options.grouped
def verify_models(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Default: all.", autocompletion=options.model_names),
    ] = None,
    *,
    brief: BriefOptions,
) -> None:
    """Check that the embedded weights and the models in the cache are as they were stored."""
    from texsynth.config.validation import nearest
    from texsynth.models.hub.cache import verified
    from texsynth.models.hub.catalog import SUFFIX, cache_folder

    results = {
        file.removesuffix(SUFFIX): (source, sound)
        for source, files in (("cached", verified(cache_folder())), ("embedded", verified()))
        for file, sound in files
    }
    for name in names or ():
        if name not in results:
            raise UsageError(f"no model {name!r} is here{nearest(name, results)}")
    bad = []
    for name in names or sorted(results):
        source, sound = results[name]
        status = "ok" if sound else "damaged"
        brief.screen.result(f"{name}: {status} ({source})", name=name, source=source, status=status)
        bad += [] if sound else [name]
    if bad:
        cures = {"cached": "fetch or import it again", "embedded": "reinstall texsynth"}
        each = [f"{name} is missing or not as it was stored, {cures[results[name][0]]}" for name in bad]
        raise ModelError("; ".join(each))


@app.command("remove")
@options.grouped
def remove_models(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Models in the cache.", autocompletion=_cached)
    ],
    *,
    brief: BriefOptions,
) -> None:
    """Remove models from the cache, and what is left there of downloads that were cut off."""
    from texsynth.config.validation import nearest
    from texsynth.models.hub.cache import expected_hashes, locked, parts, remove, writing
    from texsynth.models.hub.catalog import EMBEDDED, SUFFIX, cache_folder, cached_names

    folder, screen = cache_folder(), brief.screen
    listed = {file.removesuffix(SUFFIX) for file in expected_hashes(folder)}
    removable = {*cached_names(), *parts(folder), *listed}
    for name in names:
        if name in EMBEDDED:
            raise UsageError(f"model {name} is inside the package and cannot be removed")
        if name not in removable:
            hint = nearest(name, removable) if removable else ""
            raise UsageError(f"no model {name!r} is in the cache {folder}{hint}")
    for name in dict.fromkeys(names):
        with writing(folder), locked(folder, name, lambda: screen.note("another texsynth is at it; waiting")):
            remove(name, folder)
        screen.result(f"{name}: removed", name=name, removed=True)


def _address(name: str, url: str | None) -> str:
    """Return the address of the model `name`. Raises UsageError for unknown names and bad addresses."""
    from urllib.parse import urlsplit

    from texsynth.config.validation import nearest
    from texsynth.models.hub.catalog import EMBEDDED, SOURCES, check_name

    if name in EMBEDDED:
        raise UsageError(f"model {name} is inside the package; there is nothing to fetch")
    check_name(name)
    if url is None:
        if name not in SOURCES:
            raise UsageError(f"no address is known of model {name!r}{nearest(name, SOURCES)}, or give --url")
        return SOURCES[name].url
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"--url {url!r} is no address like https://host/file; `texsynth models import` takes files"
        )
    return url


def _show_stored(path: Path, screen: Screen) -> None:
    from texsynth.models.hub.cache import file_hash
    from texsynth.models.hub.catalog import SUFFIX
    from texsynth.models.weights import facts_of

    facts, name = facts_of(path), path.name.removesuffix(SUFFIX)
    layout = facts.provenance.get("layout", "texsynth")
    screen.result(
        f"{name}: layout {layout}, {_decoders(facts)}",
        name=name,
        file=str(path),
        layout=layout,
        **_fields(facts),
        sha256=file_hash(path),
    )


def _fields(facts: Facts) -> dict[str, object]:
    return {"levels": facts.levels, "photo": facts.has_photo, "bytes": facts.bytes}


def _decoders(facts: Facts) -> str:
    levels = f"levels {' '.join(map(str, facts.levels))}" if facts.levels else ""
    return ", ".join(filter(None, [levels, "photo" if facts.has_photo else ""])) or "no decoders"
