"""Published checkpoints into the cache: from the network or from files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from safetensors.torch import save

from texsynth.errors import ModelError
from texsynth.models.checkpoints.families import Converted, convert
from texsynth.models.hub.cache import (
    check_download,
    check_free,
    drop_part,
    file_hash,
    is_sound,
    keep,
    locked,
    part_of,
    writing,
)
from texsynth.models.hub.catalog import ASSETS, SOURCES, SUFFIX, cache_folder, check_name
from texsynth.models.hub.download import OnBytes, download, public, silent
from texsynth.models.weights import PARTS, in_order, part, read_weights
from texsynth.paths import unreadable

DECODERS: Mapping[str, str] = {"vgg_normalised": f"vgg19-decoders{SUFFIX}"}
"""Format to the embedded file with decoders for its encoder."""

OWN_FORMAT = "texsynth"


@dataclass(frozen=True)
class Cache:
    """Folder for models, by default the user's; embedded decoders; callbacks for remarks and bytes."""

    folder: Path = field(default_factory=cache_folder)
    assets: Path = ASSETS
    on_note: Callable[[str], None] = silent
    on_bytes: OnBytes = silent

    @contextmanager
    def changing(self, name: str) -> Iterator[None]:
        """Lock the model `name` for this process. Raises ModelError where the cache cannot be written."""
        wait = partial(self.on_note, f"another texsynth is at model {name}; waiting for it")
        with writing(self.folder), locked(self.folder, name, wait):
            yield


def fetch(
    name: str, url: str, cache: Cache, *, force: bool = False, offline: bool = False, timeout: float = 30
) -> Path:
    """Download the checkpoint at `url` and keep it as the model `name`. Returns its file.

    A sound model of this name is left as it is, unless `force`. Raises ModelError, also when `url` gives
    another file than is published for `name`, or than it gave before; a wrong file is not kept.
    """
    path, folder = cache.folder / f"{name}{SUFFIX}", cache.folder
    if offline:
        if is_sound(path) and not force:
            return path
        raise ModelError(
            f"model {name} cannot be fetched from {public(url)} without the network; leave out --offline "
            f"(TEXSYNTH_OFFLINE), or import a file that you have with `texsynth models import FILE`"
        )
    with cache.changing(name):
        if is_sound(path) and not force:
            cache.on_note(f"model {name} is in the cache already; --force fetches it again")
            return path
        file = download(url, part_of(folder, name), timeout=timeout, on_bytes=cache.on_bytes)
        try:
            fetched = {"url": public(url), "sha256": file_hash(file)}
            published = SOURCES.get(name)
            if published and not fetched["sha256"].startswith(published.sha256):
                raise ModelError(
                    f"{fetched['url']} gives another file than the published one (SHA-256 "
                    f"{fetched['sha256'][:8]}…, must begin with {published.sha256}); fetch it again or give "
                    f"another address with --url"
                )
            check_download(folder, fetched)
            model = convert([file])
            # As the norms of the layers tell it.
            if published and model.format not in (published.format, OWN_FORMAT):
                raise ModelError(
                    f"{fetched['url']} is another network ({model.format}) than {name} "
                    f"({published.format}); fetch it under a name of its own"
                )
            data = model_file(model, [file], cache.assets)
        except ModelError:
            drop_part(folder, name)
            raise
        keep(name, data, folder, fetched)
        drop_part(folder, name)
    return path


def import_files(
    paths: Sequence[Path], cache: Cache, *, name: str | None = None, force: bool = False
) -> Path:
    """Keep the checkpoint that the files `paths` are as the model `name`. Returns its file.

    Raises ModelError, OutputExistsError for a name that is taken, UsageError for one that no file can have.
    """
    if name:
        check_name(name)
        if not force:
            check_free(cache.folder, name)
    model = convert(paths)
    name = name or model.name
    check_name(name)
    data = model_file(model, paths, cache.assets)
    with cache.changing(name):
        if not force:
            check_free(cache.folder, name)
        return keep(name, data, cache.folder)


def joined(model: Converted, assets: Path = ASSETS) -> Converted:
    """Return `model` with the embedded decoders for its encoder that it lacks. Raises ModelError."""
    file = DECODERS.get(model.format)
    if file is None or unreadable(assets / file):
        return model
    if not is_sound(assets / file):
        raise ModelError(f"the weights {file} do not match their published hash; reinstall texsynth")
    tensors, origin = read_weights(assets / file)
    lacking = [name for name in PARTS if part(tensors, name) and not part(model.tensors, name)]
    if not lacking:
        return model
    added = {key: value for key, value in tensors.items() if key.split(".")[0] in lacking}
    header = {
        **model.header,
        "joined": f"{', '.join(lacking)} from {file} (SHA-256 {file_hash(assets / file)})",
        **{f"joined.{key}": text for key, text in origin.items()},
    }
    return replace(model, tensors={**model.tensors, **added}, header=header)


def model_file(model: Converted, paths: Sequence[Path], assets: Path = ASSETS) -> bytes:
    """Return the file of a model from the files `paths`, with joined decoders.

    Style cards and records know a model by the hash of its file, so that depends on what the checkpoint is
    and not on how it came here.
    """
    if model.format == OWN_FORMAT and paths[0].suffix == SUFFIX:
        return paths[0].read_bytes()
    model = joined(model, assets)
    urls = [source.url for source in SOURCES.values() if source.format == model.format]
    header = {"layout": model.format, **({"published": urls[0]} if urls else {}), **model.header}
    # Safetensors refuses tensors that share memory.
    tensors = {key: value.detach().clone().contiguous() for key, value in model.tensors.items()}
    return in_order(save(tensors, header))
