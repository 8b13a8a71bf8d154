"""What the teacher alone may ask for: to start a run and to control it."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from .room import Conflict, Room
from .settings import Control, Start

#: Where a request carries the teacher's token.
BEARER = HTTPBearer(auto_error=False, description="The teacher's token")
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "Not the teacher's token"},
    409: {"description": "Does not go with the state of the run"},
}


def teaching_routes(room: Room, token: str) -> APIRouter:
    """Return the routes that want ``token``, as ``Authorization: Bearer``."""

    def teacher(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> None:
        found = given.credentials if given else ""
        if not secrets.compare_digest(found.encode(), token.encode()):
            raise HTTPException(401, "token: expected the teacher's, printed at start")

    router = APIRouter(dependencies=[Depends(teacher)], responses=REFUSALS)

    @router.get("/api/teacher", status_code=204)
    async def ask_teacher() -> None:
        """Tell whether the token is the teacher's."""

    @router.post("/api/run", status_code=201)
    async def start(asked: Start) -> dict[str, int]:
        """Start a run; returns its number."""
        try:
            return {"run": room.start(asked.settings, asked.paused)}
        except Conflict as error:
            raise HTTPException(409, str(error)) from None

    @router.post("/api/control", status_code=202)
    async def control(command: Control) -> dict[str, str]:
        """Pause, resume, go on for one batch or epoch, change lr, stop or reset."""
        try:
            room.control(command)
        except Conflict as error:
            raise HTTPException(409, str(error)) from None
        return {"action": command.action}

    return router
