"""The addresses of the server: JSON for the page and for scripts, and the page itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import texsynth
from texsynth.errors import OutputError, OutputExistsError, TexsynthError
from texsynth.paths import listing
from texsynth.serve.asking import COMMANDS, Asked, MalformedError, PresetAsked, PreviewAsked
from texsynth.serve.forms import asked_by_form
from texsynth.serve.guard import Access, Guard
from texsynth.serve.handling import in_thread, in_turn, number_of, read_json
from texsynth.serve.options import options
from texsynth.serve.pictures import VIEW_SIDE, NoRoomError, UnknownPictureError, no_room
from texsynth.serve.previews import SupersededError
from texsynth.serve.results import remove_results, result_file, view_result, zip_results
from texsynth.serve.state import State
from texsynth.serve.texts import command_line, preset_yaml, save_preset, shell_line
from texsynth.serve.work import (
    AtWorkError,
    NoResultsError,
    QueueFullError,
    StoppingError,
    UnknownJobError,
    Work,
    file_names,
    sentence,
)

BUG = 500  # Status of an error that nobody expects

FULL = 507  # Status where the disk takes nothing more

TICK = 0.05  # Seconds after which those who wait for news look again

HEARTBEAT = 10.0  # Seconds after which a stream of events says that it is still there

PAGE = Path(__file__).parent / "page"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

Handler = Callable[[State, Request], Awaitable[Response]]


def make_app(state: State, access: Access) -> Starlette:
    """Return the application for a state. access: what requests must show."""

    failed = partial(on_error, state)

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, partial(handler, state), methods=list(methods))

    return Starlette(
        routes=[
            route("/health", health, "GET"),
            route("/", page, "GET"),
            route("/static/{name}", page, "GET"),
            route("/v1/options", show_options, "GET"),
            route("/v1/pictures", add_picture, "POST"),
            route("/v1/pictures/{id}", show_picture, "GET"),
            route("/v1/pictures/{id}/file", picture_file, "GET"),
            route("/v1/pictures/{id}/view", view_picture, "GET"),
            route("/v1/preview", preview, "POST"),
            route("/v1/jobs", add_job, "POST"),
            route("/v1/jobs/{id}", show_job, "GET"),
            route("/v1/jobs/{id}", cancel_job, "DELETE"),
            route("/v1/jobs/{id}/events", job_events, "GET"),
            route("/v1/jobs/{id}/results", remove_results, "DELETE"),
            route("/v1/jobs/{id}/results/{number}", result_file, "GET"),
            route("/v1/jobs/{id}/results/{number}/view", view_result, "GET"),
            route("/v1/results.zip", zip_results, "GET"),
            route("/v1/command", show_command, "POST"),
            route("/v1/preset", make_preset, "POST"),
            *(
                Route(f"/v1/{command}", partial(do_at_once, state, command), methods=["POST"])
                for command in COMMANDS
            ),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={HTTPException: on_refusal, **dict.fromkeys([Exception, *KNOWN], failed)},
    )


KNOWN: dict[type[Exception], tuple[int, str]] = {
    ClientDisconnect: (400, "the request broke off"),
    MalformedError: (400, ""),
    UnknownPictureError: (404, ""),
    AtWorkError: (409, "the job is still at work; wait for its end, or cancel it"),
    NoResultsError: (409, "the job has no results; take those of jobs that are done"),
    UnknownJobError: (404, "the job is not here any more; start it again"),
    SupersededError: (409, "superseded"),
    OutputExistsError: (409, ""),
    TexsynthError: (422, ""),
    OSError: (FULL, ""),
    QueueFullError: (429, "too many jobs are waiting; try again when one has ended"),
    NoRoomError: (FULL, ""),
    StoppingError: (503, "the server is being stopped"),
}
"""Status of the errors of a request, and what is said of those that say nothing themselves."""


def answer_to(error: Exception) -> JSONResponse:
    """Return the answer that tells of an error."""
    for kind in type(error).__mro__:
        if kind in KNOWN:
            status, text = KNOWN[kind]
            if isinstance(error, OutputError) and isinstance(error.__cause__, OSError):
                status = FULL
            return JSONResponse(
                {"error": text or (sentence(error) if kind is OSError else str(error))}, status
            )
    return JSONResponse({"error": sentence(error)}, BUG)


async def on_error(state: State, request: Request, error: Exception) -> Response:
    """Answer where something went wrong."""
    del request
    answer = answer_to(error)
    if answer.status_code == BUG:
        state.report(error)
    if isinstance(error, QueueFullError):
        answer.headers["Retry-After"] = "5"
    return answer


async def on_refusal(request: Request, error: Exception) -> Response:
    """Answer for an address or a method that is not there, and for a body that is too large."""
    assert isinstance(error, HTTPException)
    texts = {404: "there is nothing at this address", 405: f"{request.method} is not for this address"}
    text = texts.get(error.status_code, error.detail) or "the request is refused"
    return JSONResponse({"error": text}, error.status_code, error.headers)


async def health(state: State, request: Request) -> Response:
    """Say that the server is there."""
    del request
    return JSONResponse({"status": "stopping" if state.stopping else "ok", "version": texsynth.__version__})


async def page(state: State, request: Request) -> Response:
    """Send a file of the page."""
    del state
    name = request.path_params.get("name", "index.html")
    # The folder is flat, so that no name leads out of it.
    if name not in {path.name for path in listing(PAGE).files} or Path(name).suffix not in TYPES:
        raise HTTPException(404)
    cache = {"Cache-Control": "no-cache"}
    return FileResponse(PAGE / name, media_type=TYPES[Path(name).suffix], headers=cache)


async def show_options(state: State, request: Request) -> Response:
    """Say what can be chosen."""
    del request
    return JSONResponse(await in_thread(options, state.run, state.models.device, state.limits.upload))


async def add_picture(state: State, request: Request) -> Response:
    """Take a picture."""
    name = request.query_params.get("name") or "picture"
    add = partial(state.pictures.add, lenient=number_of(request, "lenient", 1) is not None)
    with tempfile.NamedTemporaryFile(dir=state.folder / "uploads", delete=False) as file:
        path = Path(file.name)
        try:
            try:
                async for part in request.stream():
                    await in_thread(file.write, part)
                file.close()
            except OSError as error:
                raise no_room(error) from error
            kept = await in_turn(state, add, path, name)
        finally:
            path.unlink(missing_ok=True)
    return JSONResponse(kept.facts, 201)


async def show_picture(state: State, request: Request) -> Response:
    """Say what a picture is."""
    return JSONResponse(state.pictures.get(request.path_params["id"]).facts)


async def picture_file(state: State, request: Request) -> Response:
    """Send the file of a picture as it was given, which the records of results know by its bytes."""
    kept = state.pictures.get(request.path_params["id"])
    # As a download: what someone gave is never a page of this server.
    return FileResponse(kept.path, filename=kept.name, media_type="application/octet-stream")


async def view_picture(state: State, request: Request) -> Response:
    """Show a picture in a form that browsers know."""
    side = number_of(request, "side", VIEW_SIDE)
    data = await in_turn(state, state.pictures.view, request.path_params["id"], side)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


async def ended(
    state: State, request: Request, is_done: Callable[[], bool], give_up: Callable[[], object]
) -> None:
    """Wait for work, and give it up when nobody does any more. Raises StoppingError, ClientDisconnect."""
    try:
        while not is_done():
            if state.stopping:
                raise StoppingError
            if await request.is_disconnected():
                raise ClientDisconnect
            await anyio.sleep(TICK / 5)
    finally:
        if not is_done():
            give_up()


async def preview(state: State, request: Request) -> Response:
    """Make a small picture of what a command would make."""
    asked = await read_json(request, PreviewAsked)
    ticket = state.previews.ask(asked)
    await ended(state, request, lambda: ticket.done, lambda: state.previews.drop(ticket))
    if ticket.error is not None:
        raise ticket.error
    headers = {
        "X-Seconds": f"{ticket.seconds:.3f}",
        "X-Rough": json.dumps(ticket.rough),
        "X-Warnings": json.dumps(ticket.warnings[:20]),
    }
    return Response(ticket.png, media_type="image/png", headers=headers)


async def add_job(state: State, request: Request) -> Response:
    """Queue a job."""
    work = await in_turn(state, state.queue.add, await read_json(request, Asked))
    return JSONResponse(facts_of(state, work), 202, {"Location": f"/v1/jobs/{work.id}"})


def facts_of(state: State, work: Work) -> dict[str, Any]:
    """Return what a job says of itself, with the addresses of its results."""
    facts = state.queue.facts(work)
    for number, result in enumerate(facts["results"]):
        facts["results"][number] = {**result, "url": f"/v1/jobs/{work.id}/results/{number}"}
    return facts


async def show_job(state: State, request: Request) -> Response:
    """Say how far a job is."""
    return JSONResponse(facts_of(state, state.queue.get(request.path_params["id"])))


async def cancel_job(state: State, request: Request) -> Response:
    """End a job."""
    work = state.queue.get(request.path_params["id"])
    state.queue.cancel(work)
    return JSONResponse(facts_of(state, work), 202)


async def job_events(state: State, request: Request) -> Response:
    """Tell of a job until it ends."""
    work = state.queue.get(request.path_params["id"])
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")

    async def events() -> AsyncIterator[str]:
        last, told = "", anyio.current_time()
        while True:
            # What changes by itself is no news.
            facts = facts_of(state, work)
            news = json.dumps({**facts, "seconds": 0, "left": 0})
            if news != last:
                last, told = news, anyio.current_time()
                yield f"data: {json.dumps(facts)}\n\n"
            if facts["state"] in ("done", "failed", "cancelled") or state.stopping:
                return
            if anyio.current_time() - told > HEARTBEAT:
                told = anyio.current_time()
                yield ": still here\n\n"
            await anyio.sleep(TICK * 2)

    return StreamingResponse(events(), media_type="text/event-stream")


async def show_command(state: State, request: Request) -> Response:
    """Write a request as a command."""
    asked = await read_json(request, Asked)

    def write() -> dict[str, Any]:
        names = file_names(asked, state.pictures)
        line = shell_line(command_line(asked, state.pictures.run_for(asked.pictures), names))
        painted = [style.mask for style in asked.styles] + [asked.hole, asked.mask]
        return {"command": line, "files": [names[one] for one in dict.fromkeys(painted) if one]}

    return JSONResponse(await in_thread(write))


async def make_preset(state: State, request: Request) -> Response:
    """Write a request as a preset."""
    asked = await read_json(request, PresetAsked)

    def write() -> dict[str, Any]:
        text = preset_yaml(asked.name, asked.request, state.run)
        path = save_preset(asked.name, text) if asked.save else None
        return {"name": asked.name, "yaml": text, "path": None if path is None else str(path)}

    return JSONResponse(await in_thread(write))


async def do_at_once(state: State, command: str, request: Request) -> Response:
    """Do a job for a script that waits for it."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        asked = await asked_by_form(state, command, request)
    else:
        asked = await read_json(request, Asked)
    if asked.command != command:
        raise MalformedError(f"the request is for {asked.command}, and this address for {command}")
    work = await in_turn(state, state.queue.add, asked)
    await ended(state, request, lambda: work.is_finished, lambda: state.queue.cancel(work))
    if work.state == "cancelled":
        raise StoppingError if state.stopping else HTTPException(409, "the job was cancelled")
    if work.state == "failed":
        assert work.fault is not None
        answer = answer_to(work.fault)
        return JSONResponse({"error": work.error}, answer.status_code)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse(facts_of(state, work))
    return FileResponse(work.files[0], filename=work.files[0].name, headers={"X-Job": work.id})
