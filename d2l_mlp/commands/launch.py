"""python -m d2l_mlp launch: the chapter's run by several processes together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .book import KVStore

BOOK = "book"


def launch(
    command: Annotated[
        list[str], typer.Argument(help="After --: book and its options.")
    ],
    num_workers: Annotated[
        int, typer.Option(min=1, help="Processes to learn, each from its share.")
    ],
    num_servers: Annotated[
        int, typer.Option(min=1, help="Processes that keep the parameters.")
    ] = 1,
    hosts: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="File of addresses; this machine if none."
        ),
    ] = None,
    host_ip: Annotated[
        str | None, typer.Option(help="This machine's address, as the hosts reach it.")
    ] = None,
) -> None:
    """Run `book` over several processes, here or on several hosts by ssh.

    python -m d2l_mlp launch --num-workers 4 -- book --num-epochs 3
    """
    from ..launcher import launch as start

    if command[0] != BOOK:
        raise typer.BadParameter(
            f"found {command[0]!r}, expected {BOOK}", param_hint="command"
        )
    if not any(word.partition("=")[0] == "--kvstore" for word in command):
        command = [*command, "--kvstore", KVStore.DIST_SYNC.value]
    program = [sys.executable, "-m", __package__.partition(".")[0]]
    raise typer.Exit(start(program + command, num_workers, num_servers, hosts, host_ip))
