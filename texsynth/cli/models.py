"""texsynth models."""

from pathlib import Path
from urllib.parse import urlsplit

import typer

from texsynth.cli import options
from texsynth.cli.completion import complete_model, completion
from texsynth.cli.help import epilog
from texsynth.cli.options import argument, option
from texsynth.cli.run import check_model
from texsynth.cli.show import Screen
from texsynth.config.validation import nearest
from texsynth.errors import ModelError, UsageError
from texsynth.models.hub import cache, catalog
from texsynth.models.weights import Facts, facts_of

app = typer.Typer(
    no_args_is_help=True,
    help="Networks for --model and --transposer: see them, fetch or import others, check them.",
)


@app.command("list")
def list_models(*, brief: options.BriefOptions) -> None:
    """List the models: embedded ones, those in the cache, and those that can be fetched."""
    screen, here, names = brief.screen(), catalog.model_names(), catalog.known_names()
    width = max(map(len, names))
    for name in names:
        source = "available" if name not in here else "embedded" if name in catalog.EMBEDDED else "cached"
        kind, text, fields = "features", "fetch it", dict[str, object]()
        if name in here:
            path = catalog.locate(name)
            try:
                facts, digest = facts_of(path), cache.expected_hashes(path.parent).get(path.name, "")
                size, start = f"{facts.bytes / 1e6:6.1f} MB", digest[:8] or "no hash"
                kind, text = facts.kind, f"{_contents(facts):26}  {size}  {start}"
                fields = {**_fields(facts), "sha256": digest}
            except ModelError as error:
                kind, text, fields = "unknown", "damaged", {"error": str(error)}
        screen.result(
            f"{name:{width}}  {kind:10}  {source:9}  {text}", name=name, kind=kind, source=source, **fields
        )


@app.command("show")
def show_model(
    model: str = argument(
        ..., metavar="NAME|FILE", help="A model or a .safetensors file.", autocompletion=complete_model
    ),
    *,
    brief: options.BriefOptions,
) -> None:
    """Show a model: its kind, its widths, its decoders, what it was made from, its licence and its hash."""
    check_model(model)
    path = catalog.locate(model)
    fetched = cache.downloads(path.parent).get(model)
    facts, screen = facts_of(path), brief.screen()
    digest = cache.file_hash(path)
    if cache.expected_hashes(path.parent).get(path.name, digest) != digest:
        screen.note(f"{path} is not as it was stored; fetch or import it again")
    lines = {
        "file": str(path),
        "kind": facts.kind,
        **(
            {"layout": facts.transposer}
            if facts.transposer
            else {"widths": " ".join(map(str, facts.widths)), "decoders": _contents(facts)}
        ),
        "size": f"{facts.bytes / 1e6:.1f} MB",
        "sha256": digest,
        **({"fetched from": fetched["url"]} if fetched else {}),
        **{
            key: text
            for key, text in sorted(facts.provenance.items())
            if key != "layout" or not facts.transposer
        },
    }
    screen.result(
        *(f"{key}: {text}" for key, text in lines.items()),
        name=model,
        kind=facts.kind,
        file=str(path),
        widths=facts.widths,
        **_fields(facts),
        sha256=digest,
        fetched=fetched,
        provenance=dict(facts.provenance),
    )


@app.command("fetch")
def fetch_model(
    name: str = argument(
        ...,
        help="A model that `list` calls available, or any name with --url.",
        autocompletion=completion("texsynth.models.hub.catalog", "SOURCES"),
    ),
    *,
    url: str | None = option(None, help="Another address of the same checkpoint."),
    force: bool = option(False, "-f", "--force", help="Fetch it again, and replace what is there."),
    offline: bool = option(False, envvar="TEXSYNTH_OFFLINE", help="Never use the network."),
    timeout: float = option(30, min=0.1, max=86400, metavar="SECONDS", help="Give up when nothing comes."),
    screen: options.ScreenOptions,
) -> None:
    """Download a published checkpoint, and keep it in the cache as a model.

    A download that was cut off goes on where it stopped. HTTPS_PROXY and NO_PROXY are honoured.

    texsynth models fetch vgg19
    """
    address = _address(name, url)
    show = screen.screen()
    with show.progress(1) as bar:
        bar.picture(name)
        from texsynth.models.hub.fetch import Cache, fetch
        from texsynth.pipelines.progress import Step

        def on_bytes(done: int, total: int | None) -> None:
            most = max(done, total or 0)
            bar.step(Step(f"{done // 10**6} of {most // 10**6} MB", done, most))

        cache = Cache(on_note=show.note, on_bytes=on_bytes)
        path = fetch(name, address, cache, force=force, offline=offline, timeout=timeout)
    _show_stored(path, show)


@app.command("import")
def import_model(
    files: list[Path] = argument(..., metavar="FILE...", help="All files of one published checkpoint."),
    *,
    name: str | None = option(None, help="Default: that of the checkpoint."),
    force: bool = option(False, "-f", "--force", help="Replace a model of this name in the cache."),
    screen: options.ScreenOptions,
) -> None:
    """Keep a published checkpoint from files in the cache as a model.

    texsynth models import vgg_normalised.pth
    """
    if name is not None:
        catalog.check_name(name)
    from texsynth.models.hub.fetch import Cache, import_files

    show = screen.screen()
    _show_stored(import_files(files, Cache(on_note=show.note), name=name, force=force), show)


@app.command("export", epilog=epilog("models export"))
def export_model(
    model: str = argument(
        ..., metavar="NAME|FILE", help="A model or a .safetensors file.", autocompletion=complete_model
    ),
    *,
    output: Path = option(
        ..., "-o", "--output", metavar="FOLDER", help="Where the files go; made if missing."
    ),
    force: bool = option(False, "-f", "--force", help="Replace what is there."),
    brief: options.BriefOptions,
) -> None:
    """Write the encoder and the decoders of a model as ONNX, to run them in other programs.

    The decoders take the map of the style as an input.
    """
    check_model(model)
    from texsynth.models.onnx_export import check_installed, export
    from texsynth.models.registry import load_model

    check_installed()
    screen = brief.screen()
    for path in export(load_model(model), output, force=force):
        screen.result(str(path), file=str(path))


@app.command("verify")
def verify_models(
    names: list[str] | None = argument(
        None, metavar="[NAME...]", help="Default: all.", autocompletion=complete_model
    ),
    *,
    brief: options.BriefOptions,
) -> None:
    """Check that the embedded weights and the models in the cache are as they were stored."""
    results = {
        file.removesuffix(catalog.SUFFIX): (source, sound)
        for source, files in (
            ("cached", cache.verified(catalog.cache_folder())),
            ("embedded", cache.verified()),
        )
        for file, sound in files
    }
    for name in names or ():
        if name not in results:
            raise UsageError(f"no model {name!r} is here{nearest(name, results)}")
    cures = {"cached": "fetch or import it again", "embedded": "reinstall texsynth"}
    screen, faults = brief.screen(), []
    for name in names or sorted(results):
        source, sound = results[name]
        status = "ok" if sound else "damaged"
        screen.result(f"{name}: {status} ({source})", name=name, source=source, status=status)
        if not sound:
            faults.append(f"{name} is missing or not as it was stored, {cures[source]}")
    if faults:
        raise ModelError("; ".join(faults))


@app.command("remove")
def remove_models(
    names: list[str] = argument(
        ...,
        metavar="NAME...",
        help="Models in the cache.",
        autocompletion=completion("texsynth.models.hub.catalog", "cached_names"),
    ),
    *,
    brief: options.BriefOptions,
) -> None:
    """Remove models from the cache, and what is left there of downloads that were cut off."""
    folder, screen = catalog.cache_folder(), brief.screen()
    listed = {file.removesuffix(catalog.SUFFIX) for file in cache.expected_hashes(folder)}
    removable = {*catalog.cached_names(), *cache.parts(folder), *listed}
    for name in names:
        if name in catalog.EMBEDDED:
            raise UsageError(f"model {name} is inside the package and cannot be removed")
        if name not in removable:
            hint = nearest(name, removable) if removable else ""
            raise UsageError(f"no model {name!r} is in the cache {folder}{hint}")
    for name in dict.fromkeys(names):
        with (
            cache.writing(folder),
            cache.locked(folder, name, lambda: screen.note("another texsynth is at it; waiting")),
        ):
            cache.remove(name, folder)
        screen.result(f"{name}: removed", name=name, removed=True)


def _address(name: str, url: str | None) -> str:
    """Return the address of the model `name`. Raises UsageError for unknown names and bad addresses."""
    if name in catalog.EMBEDDED:
        raise UsageError(f"model {name} is inside the package; there is nothing to fetch")
    catalog.check_name(name)
    if url is None:
        if name not in catalog.SOURCES:
            raise UsageError(
                f"no address is known of model {name!r}{nearest(name, catalog.SOURCES)}, or give --url"
            )
        return catalog.SOURCES[name].url
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
    facts, name = facts_of(path), path.name.removesuffix(catalog.SUFFIX)
    layout = facts.transposer or facts.provenance.get("layout", "texsynth")
    screen.result(
        f"{name}: layout {layout}, {'a transposer' if facts.transposer else _contents(facts)}",
        name=name,
        kind=facts.kind,
        file=str(path),
        **{"layout": layout, **_fields(facts)},
        sha256=cache.file_hash(path),
    )


def _fields(facts: Facts) -> dict[str, object]:
    if facts.transposer:
        return {"layout": facts.transposer, "bytes": facts.bytes}
    return {"levels": facts.levels, "photo": facts.has_photo, "bytes": facts.bytes}


def _contents(facts: Facts) -> str:
    if facts.transposer:
        return f"layout {facts.transposer}"
    levels = f"levels {' '.join(map(str, facts.levels))}" if facts.levels else ""
    return ", ".join(filter(None, [levels, "photo" if facts.has_photo else ""])) or "no decoders"
