"""The page's server: viewers watch and try drawings, the teacher controls the run."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import anyio
import limits
import numpy as np
import segno
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi import Path as FromPath
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from sse_starlette import EventSourceResponse
from starlette.requests import ClientDisconnect

from ..book import load_editions
from ..data import TEXT_LABELS, load_fashion_mnist
from ..photo import MOST_BYTES, PhotoError, predict, to_image
from . import pictures
from .room import Conflict, Room
from .settings import Control, RunSettings, Start

STATIC = Path(__file__).with_name("static")
#: Where a request carries the teacher's token.
BEARER = HTTPBearer(auto_error=False, description="The teacher's token")
#: Predictions that one address may ask for.
RATE = "10/second"
#: Pictures that may wait, or be on their way, at a time; seconds for one to come.
MOST_WAITING, SECONDS = 20, 20
#: Viewers at a time.
MOST_VIEWERS = 2000
#: Scripts and all else from here alone; Plotly sets styles of elements. Notebooks on
#: this machine may show the page in a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; "
    "frame-ancestors 'self' http://localhost:* http://127.0.0.1:* vscode-webview:"
)

REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "Not the teacher's token"},
    409: {"description": "Does not go with the state of the run"},
}


class Prediction(BaseModel):
    """What the net makes of a picture.

    ``image`` is the picture as the net sees it, a PNG of 28×28 as a ``data:`` address;
    ``probabilities`` are the ten classes', in the order of ``labels``.
    """

    image: str
    probabilities: list[float]
    labels: tuple[str, ...] = TEXT_LABELS


class State(BaseModel):
    """Where the room stands; ``run`` is 0 before the first one."""

    state: str
    run: int
    settings: RunSettings
    events: int
    student_link: str


def create_app(
    token: str, student_link: str, root: str | None = None, room: Room | None = None
) -> FastAPI:
    """Return the server.

    Args:
        token: what the teacher's requests must carry, as ``Authorization: Bearer``.
        student_link: address of the page for everyone else, for the QR code.
        root: folder of the data files.
        room: another room than a new one, for tests.
    """
    # Created here: a limit is one server's.
    limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    room = room or Room(root)
    data = load_fashion_mnist(root)
    # The weights' picture by look, made once for all viewers.
    drawn: dict[int, bytes] = {}
    drawing = asyncio.Lock()
    # Pictures are unpacked and predicted by so many at a time.
    viewers: set[Request] = set()
    bodies: set[Request] = set()
    predicting = anyio.CapacityLimiter(2)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        room.close()

    app = FastAPI(title="d2l_mlp classroom", lifespan=lifespan, docs_url=None,
                  redoc_url=None)  # fmt: skip
    app.state.room = room

    def teacher(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        found = given.credentials if given else ""
        if not secrets.compare_digest(found.encode(), token.encode()):
            raise HTTPException(401, "token: expected the teacher's, printed at start")

    guards = [Depends(teacher)]

    @app.middleware("http")
    async def add_headers(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await _refuse_size(request) or await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/plotly.js", include_in_schema=False)
    def plotly() -> Response:
        return Response(
            _plotly(),
            media_type="text/javascript",
            headers={"Cache-Control": "max-age=86400"},
        )

    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/events", include_in_schema=False)
    async def events(request: Request) -> EventSourceResponse:
        if len(viewers) >= MOST_VIEWERS:
            raise HTTPException(503, f"events: expected at most {MOST_VIEWERS} viewers")
        after = request.headers.get("Last-Event-ID")

        async def follow() -> AsyncIterator[bytes]:
            viewers.add(request)
            try:
                async for chunk in room.log.follow(after):
                    yield chunk
            finally:
                viewers.discard(request)

        return EventSourceResponse(follow(), ping=15)

    @app.get("/api/state")
    async def state() -> State:
        return State(
            state=room.state,
            run=room.number,
            settings=room.settings,
            events=len(room.log),
            student_link=student_link,
        )

    @app.get("/api/book")
    async def book() -> dict[str, Any]:
        """Return what the book printed: rows of loss, train and test accuracy."""
        chapter = next(iter(load_editions().values()))
        return {"title": "the chapter", "epochs": chapter.epochs}

    @app.get("/api/labels")
    async def labels() -> dict[str, Any]:
        """Return the classes' names, and those of the first test images."""
        return {"labels": TEXT_LABELS, "test": data.test_labels[:9].tolist()}

    @app.get("/qr.svg")
    async def qr() -> Response:
        stream = io.BytesIO()
        segno.make(student_link).save(
            stream, kind="svg", scale=4, dark="#000", light="#fff"
        )
        return Response(stream.getvalue(), media_type="image/svg+xml")

    @app.get("/weights.png", responses={404: {"description": "No run yet"}})
    async def weights() -> Response:
        async with drawing:
            version, params = room.look
            if not params:
                raise HTTPException(404, "weights: found no run yet, expected one")
            if version not in drawn:
                drawn.clear()
                drawn[version] = await run_in_threadpool(
                    pictures.weights_png, params[0]
                )
        return Response(drawn[version], media_type="image/png")

    @app.get("/test-images/{index}.png", response_class=Response)
    async def test_image(index: Annotated[int, FromPath(ge=0, le=9999)]) -> Response:
        drawn = pictures.image_png(data.test_images[index, :, :, 0])
        headers = {"Cache-Control": "max-age=86400"}
        return Response(drawn, media_type="image/png", headers=headers)

    @app.get("/api/teacher", status_code=204, dependencies=guards, responses=REFUSALS)
    async def ask_teacher() -> None:
        """Tell whether the token is the teacher's."""

    @app.post("/api/run", status_code=201, dependencies=guards, responses=REFUSALS)
    async def start(asked: Start) -> dict[str, int]:
        """Start a run; returns its number."""
        try:
            return {"run": room.start(asked.settings, asked.paused)}
        except Conflict as error:
            raise HTTPException(409, str(error)) from None

    @app.post("/api/control", status_code=202, dependencies=guards, responses=REFUSALS)
    async def control(command: Control) -> dict[str, str]:
        """Pause, resume, go on for one batch or epoch, change lr, stop or reset."""
        try:
            room.control(command)
        except Conflict as error:
            raise HTTPException(409, str(error)) from None
        return {"action": command.action}

    @app.post(
        "/api/predict",
        responses={
            400: {"description": "Cut off"},
            408: {"description": "Too slow"},
            409: {"description": "No run yet, or it has diverged"},
            413: {"description": "Too large"},
            415: {"description": "No picture"},
            429: {"description": "Too many"},
            503: {"description": "Busy"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "image/png": {"schema": {"type": "string", "format": "binary"}}
                },
            }
        },
    )
    async def predict_picture(request: Request) -> Prediction:
        """Predict the picture that is the request's body."""
        address = request.client.host if request.client else ""
        if not limiter.hit(limits.parse(RATE), address):
            raise HTTPException(429, f"predict: expected at most {RATE}")
        _, params = room.look
        if not params:
            raise HTTPException(409, "predict: found no run yet, expected one")
        waiting = predicting.statistics().tasks_waiting
        if waiting >= MOST_WAITING or len(bodies) >= MOST_WAITING:
            raise HTTPException(503, "predict: the server is busy, try again")
        bodies.add(request)
        try:
            content = await _body(request)
        finally:
            bodies.discard(request)
        try:
            image, probabilities = await anyio.to_thread.run_sync(
                _predict, content, params, limiter=predicting
            )
        except PhotoError as error:
            raise HTTPException(415, str(error)) from None
        if not np.isfinite(probabilities).all():
            raise HTTPException(409, "predict: the net has diverged, start another run")
        png = base64.b64encode(pictures.image_png(image)).decode()
        return Prediction(
            image=f"data:image/png;base64,{png}",
            probabilities=[round(float(p), 5) for p in probabilities],
        )

    return app


async def _refuse_size(request: Request) -> Response | None:
    """Return an answer to a body that is too large, or of unknown length for JSON."""
    length = request.headers.get("Content-Length", "")
    if length.isdigit() and int(length[:20]) > MOST_BYTES:
        # Who is cut off while sending is not shown the answer.
        if int(length[:20]) < 4 * MOST_BYTES:
            with (
                anyio.move_on_after(SECONDS),
                contextlib.suppress(ClientDisconnect),
            ):
                async for _ in request.stream():
                    pass
        detail = f"body: found {length[:20]} bytes, expected at most {MOST_BYTES}"
        return JSONResponse({"detail": detail}, 413)
    chunked = "Transfer-Encoding" in request.headers
    if chunked and request.url.path != "/api/predict":
        return JSONResponse({"detail": "body: expected its Content-Length"}, 411)
    return None


def _predict(content: bytes, params: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    image = to_image(content)
    return image, predict(image, params)


async def _body(request: Request) -> bytes:
    """Return the request's body; refuse a large or slow one before it is all here."""
    content = bytearray()
    try:
        with anyio.fail_after(SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise HTTPException(
                        413, f"picture: expected at most {MOST_BYTES} bytes"
                    )
    except TimeoutError:
        raise HTTPException(408, f"picture: expected it within {SECONDS} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "picture: found only its beginning") from None
    return bytes(content)


@lru_cache
def _plotly() -> bytes:
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()
