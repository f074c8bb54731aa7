"""Training pictures: listed from a folder, read, cut into crops, batched."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texsynth.errors import InputError, UsageError, WorkerLostError
from texsynth.images import SUFFIXES, read_rgb8
from texsynth.ops.resample import resize
from texsynth.paths import listing
from texsynth.worker_process import start

Picture = np.ndarray  # (H, W, 3) uint8 sRGB

Sample = tuple[np.ndarray, int]
"""A crop (3, S, S) uint8, and the number of a picture that could not be read on the way, or -1."""

CACHE_BYTES = 2 << 30  # Memory for decoded pictures when no workers decode them

FARTHEST = 3.0  # Largest distance that a picture is seen from, over its own

AHEAD = 2  # Batches that every worker is asked for before they are needed

_ORDER, _CROP = 0, 1


def is_held_out(path: Path) -> bool:
    """True for the 10% of file names that no training may see (the same 10% everywhere)."""
    return int(hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest(), 16) % 10 == 0


def find_pictures(folder: Path, *, held_out: bool) -> list[Path]:
    """List the training 90% or the held-out 10% below `folder` by name. Raises InputError for none."""
    files, _, refused = listing(folder, recursive=True, hidden=True)
    chosen = [p for p in files if p.suffix.lower() in SUFFIXES and is_held_out(p) == held_out]
    if not chosen and refused:
        raise InputError("the folder {} cannot be read: {}".format(*refused[0]))
    if not chosen:
        kind = "held-out" if held_out else "training"
        raise InputError(f"no {kind} pictures below {folder}; give a folder with pictures")
    return chosen


class DTD:
    """A split of the Describable Textures Dataset (Cimpoi et al. 2014) on this disk, read by torchvision."""

    def __init__(self, root: Path, split: str, most: int | None = None) -> None:
        """root: the folder of `dtd`; nothing is downloaded. split: train, val or test. most: pictures.

        Raises UsageError without torchvision, InputError where the data set is not whole.
        """
        try:
            from torchvision import datasets
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UsageError(
                f"--dtd needs torchvision, which cannot be imported ({reason}); install the one for torch "
                f"{torch.__version__}, or give the pictures in a folder as --data"
            ) from error
        try:
            self._pictures = datasets.DTD(str(root), split=split, download=False)
            self._length = min(most or len(self._pictures), len(self._pictures))
        except (RuntimeError, OSError) as error:
            raise InputError(
                f"{root} has no whole DTD (dtd/dtd/images, labels and imdb); unpack "
                "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz into its folder dtd"
            ) from error

    def __len__(self) -> int:
        """Return the number of pictures."""
        return self._length

    def read(self, number: int) -> Picture:
        """Read picture `number`, (H, W, 3) uint8. Raises InputError."""
        try:
            return np.asarray(self._pictures[number][0])
        except (OSError, SyntaxError) as error:
            raise InputError(f"picture {number} of DTD cannot be read ({error}); unpack it again") from error


def load_pictures(paths: Sequence[Path] | DTD, min_side: int) -> list[Picture]:
    """Read the pictures whose shorter side is at least `min_side` pixels. Raises InputError without any."""
    with ThreadPoolExecutor(4) as pool:
        read = (
            pool.map(paths.read, range(len(paths))) if isinstance(paths, DTD) else pool.map(read_rgb8, paths)
        )
        kept = [p for p in read if min(p.shape[:2]) >= min_side]
    if not kept:
        raise InputError(f"none of {len(paths)} pictures has both sides of at least {min_side} pixels")
    return kept


def cut(picture: Picture, top: int, left: int, size: int) -> np.ndarray:
    """Cut a square out of a picture. Returns a view (3, size, size)."""
    return picture[top : top + size, left : left + size].transpose(2, 0, 1)


def random_index(count: int, rng: torch.Generator) -> int:
    """Draw a number from 0 to `count` - 1."""
    return int(torch.randint(count, (), generator=rng))


def random_square(picture: Picture, side: int, rng: torch.Generator) -> Tensor:
    """Cut a square out of a picture at random. Returns (3, side, side) uint8."""
    top, left = (random_index(length - side + 1, rng) for length in picture.shape[:2])
    return torch.from_numpy(cut(picture, top, left, side))


def distant_square(picture: Picture, side: int, rng: torch.Generator) -> Tensor:
    """Cut a random square, seen from a random distance. Returns (3, side, side) in [0, 1]."""
    longest = min(picture.shape[:2])
    distance = 1 + float(torch.rand((), generator=rng)) * (min(FARTHEST, longest / side) - 1)
    span = min(longest, round(side * distance))
    square = random_square(picture, span, rng).float()[None] / 255
    return (
        square[0] if span == side else F.interpolate(square, (side, side), mode="bilinear", antialias=True)[0]
    )


def random_crops(pictures: Sequence[Picture], count: int, size: int, rng: torch.Generator) -> Tensor:
    """Cut random squares, half of them mirrored. Returns (count, 3, size, size) uint8."""
    out = torch.empty(count, 3, size, size, dtype=torch.uint8)
    for k in range(count):
        crop = random_square(pictures[random_index(len(pictures), rng)], size, rng)
        out[k] = crop.flip(2) if random_index(2, rng) else crop
    return out


def centre_crops(pictures: Sequence[Picture], size: int) -> Tensor:
    """Cut out the middle of every picture. Returns (len(pictures), 3, size, size) uint8."""
    out = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8)
    for k, picture in enumerate(pictures):
        top, left = ((side - size) // 2 for side in picture.shape[:2])
        out[k] = torch.from_numpy(cut(picture, top, left, size))
    return out


def to_image(crops: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Turn (N, 3, H, W) uint8 crops into an image batch in [0, 1], channels last."""
    return crops.to(device).float().div_(255).contiguous(memory_format=torch.channels_last)


class Pictures:
    """Files as arrays, resized to squares if asked; as many as fit are kept decoded."""

    def __init__(self, paths: Sequence[Path], resize_px: int | None = None, cache_bytes: int = 0) -> None:
        """cache_bytes: memory for decoded pictures; those beyond are read again every time."""
        self.paths, self.resize_px = tuple(paths), resize_px
        self._free, self._cache = cache_bytes, dict[int, Picture]()

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def read(self, number: int) -> Picture:
        """Read picture `number`, (H, W, 3) uint8. Raises InputError."""
        if number in self._cache:
            return self._cache[number]
        picture = read_rgb8(self.paths[number])
        if self.resize_px:
            image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
            small = resize(image, self.resize_px, self.resize_px)[0]
            picture = (255 * small).round().byte().permute(1, 2, 0).contiguous().numpy()
        if picture.nbytes <= self._free:
            self._free -= picture.nbytes
            self._cache[number] = picture
        return picture

    def held_out_crops(self, size: int, count: int) -> Tensor:
        """Cut the middles out of up to `count` usable pictures all over the list, (n, 3, s, s) uint8."""
        usable: list[Picture] = []
        for number in range(0, len(self), max(1, len(self) // count)):
            try:
                picture = self.read(number)
            except InputError:
                continue
            if min(picture.shape[:2]) >= size and len(usable) < count:
                usable.append(picture)
        return centre_crops(usable, size)


class Crops:
    """Random crops; number k follows from the files, the seeds and k alone.

    Every epoch sees every picture once; one that cannot be read, or is too small, gives way to another.
    """

    def __init__(self, pictures: Pictures, size: int, seeds: Sequence[int], *, mirror: bool = True) -> None:
        """size: side of the crops. seeds: non-negative. mirror: mirror half of them."""
        self.pictures, self.size, self.seeds, self.mirror = pictures, size, tuple(seeds), mirror

    def __getitem__(self, k: int) -> Sample:
        """Cut crop k = 0, 1, 2, ... without end. Raises InputError when no picture can be used."""
        rng = np.random.default_rng((*self.seeds, _CROP, k))
        unreadable = -1
        for number in self._candidates(k, rng):
            try:
                picture = self.pictures.read(number)
            except InputError:
                unreadable = number
                continue
            height, width = picture.shape[:2]
            if min(height, width) >= self.size:
                top, left = rng.integers(height - self.size + 1), rng.integers(width - self.size + 1)
                crop = cut(picture, int(top), int(left), self.size)
                flip = self.mirror and rng.integers(2)
                return np.ascontiguousarray(crop[..., ::-1] if flip else crop), unreadable
        raise InputError(
            f"none of {len(self.pictures)} pictures can be read and has both sides of at least "
            f"{self.size} pixels; give others, or a smaller crop_px"
        )

    def _candidates(self, k: int, rng: np.random.Generator) -> Iterator[int]:
        """Yield the picture whose turn it is, then all others at random."""
        epoch, place = divmod(k, len(self.pictures))
        yield int(_permutation((*self.seeds, _ORDER, epoch), len(self.pictures))[place])
        yield from map(int, rng.permutation(len(self.pictures)))


@lru_cache(1)
def _permutation(seeds: tuple[int, ...], count: int) -> np.ndarray:
    return np.random.default_rng(seeds).permutation(count)


class BatchLoader:
    """Batches of crops one after the other, cut here or by workers; close it, or the workers stay."""

    def __init__(self, crops: Crops, batch: int, workers: int, report: Callable[[str], None]) -> None:
        """report: is told once of a picture that cannot be read. Raises InputError without usable ones."""
        self.crops, self.batch, self.workers, self.report = crops, batch, workers, report
        self._next, self._reported = 0, False
        self._started: list[tuple[SpawnProcess, Connection]] = []
        _stack([crops[0]])  # fails here rather than in a worker

    def close(self) -> None:
        """Stop the workers. The next batch starts others."""
        for process, connection in self._started:
            connection.close()
            process.kill()
        for process, _ in self._started:
            process.join()
        self._started.clear()

    def next(self) -> Tensor:
        """Return the next batch, (batch, 3, S, S) uint8. Raises WorkerLostError when a worker was killed."""
        crops, unreadable = self._from_worker() if self.workers else _cut(self.crops, self.batch, self._next)
        if unreadable >= 0 and not self._reported:
            self.report(f"{self.crops.pictures.paths[unreadable]} cannot be read; such pictures are left out")
            self._reported = True
        self._next += 1
        return torch.from_numpy(crops)

    def _from_worker(self) -> Sample:
        """Receive the next batch of the worker whose turn it is, and ask it for another."""
        try:
            if not self._started:
                self._started = [start(_serve, self.crops, self.batch) for _ in range(self.workers)]
                for number in range(self._next, self._next + AHEAD * self.workers):
                    self._worker(number).send(number)
            connection = self._worker(self._next)
            answer: Sample | InputError = connection.recv()
            connection.send(self._next + AHEAD * self.workers)
        except (EOFError, OSError) as error:
            raise WorkerLostError(
                "a worker that reads pictures was killed; memory that runs out does that, so use fewer "
                "--workers and --resume"
            ) from error
        if isinstance(answer, InputError):
            raise answer
        return answer

    def _worker(self, number: int) -> Connection:
        """Return the connection to the worker of batch `number`."""
        return self._started[number % self.workers][1]

    def state_dict(self) -> dict[str, Any]:
        """Return the number of the next batch."""
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the batch that `state` names."""
        self.close()
        self._next = int(state["next"])


def _serve(connection: Connection, crops: Crops, batch: int) -> None:
    """Cut the batches whose numbers come from `connection`, until it is closed."""
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        while True:
            number = connection.recv()
            try:
                connection.send(_cut(crops, batch, number))
            except InputError as error:
                connection.send(error)


def _cut(crops: Crops, batch: int, number: int) -> Sample:
    """Cut batch `number` = 0, 1, 2, ... Raises InputError."""
    return _stack([crops[k] for k in range(number * batch, (number + 1) * batch)])


def _stack(samples: Sequence[Sample]) -> Sample:
    """Join samples to a batch of arrays, which need no shared memory on their way from a worker."""
    return np.stack([crop for crop, _ in samples]), max(unreadable for _, unreadable in samples)
