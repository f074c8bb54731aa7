"""The results of jobs: each alone, as a view, or several in one ZIP; and putting them away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from texsynth.serve.asking import MalformedError
from texsynth.serve.handling import in_thread, in_turn, number_of
from texsynth.serve.pictures import VIEW_SIDE
from texsynth.serve.state import State
from texsynth.serve.work import MOST_FINISHED, Work

ZIP_NAME = "texsynth-results.zip"

PART = 1 << 20  # Bytes of a file that are sent at a time

PLAIN_BYTES = 2_000_000_000  # Of files, up to which the entries of a ZIP are all of one form


def result_of(state: State, request: Request) -> tuple[Work, Path]:
    """Return a job and the file of its result. Raises HTTPException, UnknownJobError."""
    work, number = state.queue.get(request.path_params["id"]), request.path_params["number"]
    files = {str(place): path for place, path in enumerate(work.files)}
    if number not in files:
        raise HTTPException(404)
    return work, files[number]


async def result_file(state: State, request: Request) -> Response:
    """Send a result as the command writes it."""
    _, path = result_of(state, request)
    return FileResponse(path, filename=path.name)


async def view_result(state: State, request: Request) -> Response:
    """Show a result in a form that browsers know."""
    side = number_of(request, "side", VIEW_SIDE)
    _, path = result_of(state, request)
    data = await in_turn(state, state.pictures.view_file, path, side)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


async def remove_results(state: State, request: Request) -> Response:
    """Forget an ended job, with its files."""
    await in_thread(state.queue.remove, request.path_params["id"])
    return Response(status_code=204)


async def zip_results(state: State, request: Request) -> Response:
    """Send all results of some jobs as one ZIP."""
    numbers = list(dict.fromkeys(request.query_params.getlist("job")))
    if not 1 <= len(numbers) <= MOST_FINISHED:
        raise MalformedError(
            f"{len(numbers)} jobs are named but must be 1 to {MOST_FINISHED}, like results.zip?job=ID&job=ID"
        )
    folder, files = await in_turn(state, state.queue.gather, numbers)
    return ZipResponse(folder, files, is_wanted=request.method != "HEAD")


class ZipResponse(StreamingResponse):
    """A ZIP of files that is made while it is sent; their folder goes afterwards."""

    def __init__(self, folder: Path, files: Sequence[Path], *, is_wanted: bool) -> None:
        """folder: with the files. is_wanted: whether more than the headers is sent."""
        self._folder = folder
        headers = {"Content-Disposition": f'attachment; filename="{ZIP_NAME}"'}
        # Browsers tell by it how far they are.
        if (length := zip_length(files)) is not None:
            headers["Content-Length"] = str(length)
        super().__init__(
            zip_parts(files) if is_wanted else iter(()), media_type="application/zip", headers=headers
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the ZIP."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


class _Sink:
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: what is written waits to be taken."""

    def close(self) -> None:
        """Do nothing: what was written last is still to be taken."""

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def zip_length(files: Sequence[Path]) -> int | None:
    """Return the bytes of the ZIP of `files`, None where they are too large to tell without making it."""
    contents = sum(path.stat().st_size for path in files)
    if contents > PLAIN_BYTES:
        return None
    return contents + sum(map(len, zip_parts(files, with_contents=False)))


def zip_parts(files: Sequence[Path], *, with_contents: bool = True) -> Iterator[bytes]:
    """Yield a ZIP of `files`, whose names differ, part by part; pictures are as small as they get already.

    with_contents: whether entries hold anything.
    """
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_STORED) as archive:
        for path in files:
            with path.open("rb") as file, archive.open(ZipInfo.from_file(path, path.name), "w") as entry:
                while with_contents and (part := file.read(PART)):
                    entry.write(part)
                    yield sink.taken()
    yield sink.taken()
