"""Predictions for the pictures that viewers draw or upload."""

from __future__ import annotations

import base64

import anyio
import limits
import numpy as np
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from ..chapter.model import predict
from ..dataset.fashion_mnist import TEXT_LABELS
from ..dataset.photo import MOST_BYTES, PhotoError, to_image
from . import pictures
from .room import Room

#: Predictions that each address may request.
RATE = limits.parse("10/second")
#: Pictures decoded at a time; pictures that may be arriving or waiting; seconds within
#: which one must arrive.
AT_WORK, MOST_WAITING, SECONDS = 2, 20, 20
REFUSALS: dict[int | str, dict[str, str]] = {
    400: {"description": "Cut off"},
    408: {"description": "Too slow"},
    409: {"description": "No run yet, or it has diverged"},
    413: {"description": "Too large"},
    415: {"description": "No picture"},
    429: {"description": "Too many"},
    503: {"description": "Busy"},
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Prediction(BaseModel):
    """The net's prediction for a picture.

    ``image`` is the picture as the net sees it, a PNG of 28×28 as a ``data:`` address;
    ``probabilities`` are those of the ten classes, in the order of ``labels``.
    """

    image: str
    probabilities: list[float]
    labels: tuple[str, ...] = TEXT_LABELS


def predicting_routes(room: Room) -> APIRouter:
    """Return the route for predictions, with its own limits."""
    router = APIRouter()
    limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    coming: set[Request] = set()
    at_work = anyio.CapacityLimiter(AT_WORK)

    @router.post("/api/predict", responses=REFUSALS, openapi_extra=BODY)
    async def predict_picture(request: Request) -> Prediction:
        """Predict the picture that is the request's body."""
        address = request.client.host if request.client else ""
        if not limiter.hit(RATE, address):
            raise HTTPException(429, f"predict: expected at most {RATE}")
        _, params = room.look
        if not params:
            raise HTTPException(409, "predict: found no run yet, expected one")
        if len(coming) + at_work.statistics().tasks_waiting >= MOST_WAITING:
            raise HTTPException(503, "predict: the server is busy, try again")
        coming.add(request)
        try:
            content = await _body(request)
        finally:
            coming.discard(request)
        return await anyio.to_thread.run_sync(
            _predict, content, params, limiter=at_work
        )

    return router


def _predict(content: bytes, params: list[np.ndarray]) -> Prediction:
    try:
        image = to_image(content)
    except PhotoError as error:
        raise HTTPException(415, str(error)) from None
    probabilities = predict(image, params)
    if not np.isfinite(probabilities).all():
        raise HTTPException(409, "predict: the net has diverged, start another run")
    png = base64.b64encode(pictures.to_png(image)).decode()
    return Prediction(
        image=f"data:image/png;base64,{png}",
        probabilities=[round(float(p), 5) for p in probabilities],
    )


async def _body(request: Request) -> bytes:
    """Return the request's body; stop reading one that is too large or too slow."""
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
