"""The page's routes: for everyone to watch the run, for the teacher to control it."""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

import segno
from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

from ..book.editions import CHAPTER, load_editions
from ..dataset.fashion_mnist import TEXT_LABELS, FashionMNIST
from . import pictures
from .room import Room
from .settings import Control, Start

#: Viewers at a time.
MOST_VIEWERS = 2000
#: The header that carries the teacher's token.
BEARER = HTTPBearer(auto_error=False, description="The teacher's token")
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "Not the teacher's token"},
    409: {"description": "Not possible in the present state of the run"},
}


class State(BaseModel):
    """The room's state; ``run`` is the latest run's number, 0 before the first."""

    state: str
    run: int
    student_link: str


def viewers_routes(room: Room, data: FashionMNIST, student_link: str) -> APIRouter:
    """Return the routes that are open to everyone.

    Args:
        room: the room they watch.
        data: the source of the test images.
        student_link: the page's address, for the QR code.
    """
    router = APIRouter()
    viewers: set[Request] = set()
    # The picture of the weights by version, made once for all viewers.
    drawn: dict[int, bytes] = {}
    drawing = asyncio.Lock()

    @router.get("/events", include_in_schema=False)
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

    @router.get("/api/state")
    async def state() -> State:
        return State(state=room.state, run=room.number, student_link=student_link)

    @router.get("/api/book")
    async def book() -> dict[str, Any]:
        """Return the book's numbers by epoch: loss, train and test accuracy."""
        return {"epochs": load_editions()[CHAPTER].epochs}

    @router.get("/api/labels")
    async def labels() -> dict[str, Any]:
        """Return the classes' names, and the labels of the first nine test images."""
        return {"labels": TEXT_LABELS, "test": data.test_labels[:9].tolist()}

    @router.get("/qr.svg")
    async def qr() -> Response:
        stream = io.BytesIO()
        code = segno.make(student_link)
        code.save(stream, kind="svg", scale=4, dark="#000", light="#fff")
        return Response(stream.getvalue(), media_type="image/svg+xml")

    @router.get("/weights.png", responses={404: {"description": "No run yet"}})
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

    @router.get("/test-images/{index}.png", response_class=Response)
    async def test_image(index: Annotated[int, Path(ge=0, le=9999)]) -> Response:
        png = pictures.to_png(data.test_images[index, :, :, 0])
        headers = {"Cache-Control": "max-age=86400"}
        return Response(png, media_type="image/png", headers=headers)

    return router


def teachers_routes(room: Room, token: str) -> APIRouter:
    """Return the routes that require ``token``, as ``Authorization: Bearer``."""

    def check_token(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        found = given.credentials if given else ""
        if not secrets.compare_digest(found.encode(), token.encode()):
            raise HTTPException(401, "token: expected the teacher's, printed at start")

    router = APIRouter(dependencies=[Depends(check_token)], responses=REFUSALS)

    @router.get("/api/teacher", status_code=204)
    async def ask_teacher() -> None:
        """Tell whether the token is the teacher's."""

    @router.post("/api/run", status_code=201)
    async def start(asked: Start) -> dict[str, int]:
        """Start a run; returns its number."""
        return {"run": room.start(asked.settings, asked.paused)}

    @router.post("/api/control", status_code=202)
    async def control(command: Control) -> dict[str, str]:
        """Pause, resume, train for one batch or epoch, change lr, stop or reset."""
        room.control(command)
        return {"action": command.action}

    return router
