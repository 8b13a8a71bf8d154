"""The page's server: viewers watch and try drawings, the teacher controls the run."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect

from ..dataset.fashion_mnist import load_fashion_mnist
from ..dataset.photo import MOST_BYTES
from .predicting import SECONDS, predicting_routes
from .room import Room
from .routes import teachers_routes, viewers_routes

STATIC = Path(__file__).with_name("static")
#: Bytes of a refused body that are read at most.
MOST_READ = 4 * MOST_BYTES
#: Everything comes from this server; Plotly sets styles of elements. Notebooks on this
#: machine may show the page in a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; "
    "frame-ancestors 'self' http://localhost:* http://127.0.0.1:* vscode-webview:"
)


def create_app(token: str, student_link: str, root: str | None = None) -> FastAPI:
    """Return the server.

    Args:
        token: what the teacher's requests must carry, as ``Authorization: Bearer``.
        student_link: address of the page for everyone else, for the QR code.
        root: folder of the data files.

    Raises:
        DataError: the data cannot be found, fetched or trusted.
    """
    room = Room(root)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        room.close()

    title = "d2l_mlp classroom"
    app = FastAPI(title=title, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.middleware("http")(_guard)
    app.include_router(viewers_routes(room, load_fashion_mnist(root), student_link))
    app.include_router(teachers_routes(room, token))
    app.include_router(predicting_routes(room))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/plotly.js", include_in_schema=False)
    def plotly() -> FileResponse:
        path = resources.files("plotly") / "package_data" / "plotly.min.js"
        return FileResponse(str(path), headers={"Cache-Control": "max-age=86400"})

    return app


async def _guard(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Refuse bodies that are too large; tell the browser what the page may do."""
    response = await _refuse_body(request) or await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


async def _refuse_body(request: Request) -> Response | None:
    """Return an error if the body is too large, or JSON of unknown length."""
    length = request.headers.get("Content-Length", "")[:20]
    if length.isdigit() and int(length) > MOST_BYTES:
        detail = f"body: found {length} bytes, expected at most {MOST_BYTES}"
        response = JSONResponse({"detail": detail}, 413)
    elif "Transfer-Encoding" in request.headers and request.url.path != "/api/predict":
        response = JSONResponse({"detail": "body: expected its Content-Length"}, 411)
    else:
        return None
    # A client that is cut off while it sends does not show the answer, so the body is
    # read, within bounds.
    left = MOST_READ if not length.isdigit() or int(length) < MOST_READ else 0
    with anyio.move_on_after(SECONDS), contextlib.suppress(ClientDisconnect):
        async for chunk in request.stream():
            left -= len(chunk)
            if left < 0:
                break
    return response
