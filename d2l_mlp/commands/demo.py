"""python -m d2l_mlp demo: the classroom page."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from .. import _compat
from .common import Root, as_text, needing, whole


def demo(
    host: Annotated[
        str, typer.Option(help="0.0.0.0 to let the room in; this machine by default.")
    ] = "127.0.0.1",
    port: Annotated[int, whole("0 for any free.", least=0, most=65535)] = 8000,
    root: Root = None,
) -> None:
    """Serve one run, live, to everyone in the room; the teacher's link controls it."""
    _compat.load_mxnet()
    with needing("web", "the page"):
        from ..classroom.server import end_with_input, serve
    if os.environ.get("D2L_MLP_END_WITH_INPUT"):
        end_with_input()
    token = os.environ.get("D2L_MLP_TOKEN", "")
    serve(host, port, as_text(root), token)
