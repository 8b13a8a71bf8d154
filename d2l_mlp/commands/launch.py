"""python -m d2l_mlp launch: the chapter's run by several processes together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .book import book
from .common import whole

BOOK = "book"
_book = typer.Typer(add_completion=False)
_book.command()(book)


def launch(
    num_workers: Annotated[int, whole("Processes to learn, each from its share.")],
    num_servers: Annotated[int, whole("Processes that keep the parameters.")] = 1,
    hosts: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="File of addresses; this machine if none."
        ),
    ] = None,
    host_ip: Annotated[
        str | None, typer.Option(help="This machine's address, as the hosts reach it.")
    ] = None,
    command: Annotated[
        list[str] | None, typer.Argument(help="After --: book and its options.")
    ] = None,
) -> None:
    """Run `book` over several processes, here or on several hosts by ssh.

    python -m d2l_mlp launch --num-workers 4 -- book --num-epochs 3
    """
    from ..distributed.launcher import launch as start

    if not command or command[0] != BOOK:
        found = repr(command[0]) if command else "none"
        raise typer.BadParameter(
            f"found {found}, expected {BOOK} behind --, as in launch --num-workers 2 "
            "-- book --fast",
            param_hint="command",
        )
    # Once here, so that a mistake is told of once, before any process is started.
    typer.main.get_command(_book).make_context(BOOK, command[1:])
    if not any(word.partition("=")[0] == "--kvstore" for word in command):
        command = [*command, "--kvstore", "dist_sync"]
    program = [sys.executable, "-m", __package__.partition(".")[0]]
    raise typer.Exit(start(program + command, num_workers, num_servers, hosts, host_ip))
