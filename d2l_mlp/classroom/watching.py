"""What everyone may ask for: events, pictures, where the room stands."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any

import segno
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi import Path as FromPath
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

from ..book.editions import CHAPTER, load_editions
from ..dataset.fashion_mnist import TEXT_LABELS, FashionMNIST
from . import pictures
from .room import Room

#: Viewers at a time.
MOST_VIEWERS = 2000


class State(BaseModel):
    """Where the room stands; ``run`` is 0 before the first one."""

    state: str
    run: int
    student_link: str


def watching_routes(room: Room, data: FashionMNIST, student_link: str) -> APIRouter:
    """Return the routes of viewers.

    Args:
        room: what they watch.
        data: whose test images they see.
        student_link: the page's address, for the QR code.
    """
    router = APIRouter()
    viewers: set[Request] = set()
    # The weights' picture by look, made once for all viewers.
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
        """Return what the book printed: rows of loss, train and test accuracy."""
        return {"epochs": load_editions()[CHAPTER].epochs}

    @router.get("/api/labels")
    async def labels() -> dict[str, Any]:
        """Return the classes' names, and those of the first test images."""
        return {"labels": TEXT_LABELS, "test": data.test_labels[:9].tolist()}

    @router.get("/qr.svg")
    async def qr() -> Response:
        stream = io.BytesIO()
        segno.make(student_link).save(
            stream, kind="svg", scale=4, dark="#000", light="#fff"
        )
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
    async def test_image(index: Annotated[int, FromPath(ge=0, le=9999)]) -> Response:
        drawn = pictures.to_png(data.test_images[index, :, :, 0])
        headers = {"Cache-Control": "max-age=86400"}
        return Response(drawn, media_type="image/png", headers=headers)

    return router
