"""Start the page: from the command line, or from a notebook."""

from __future__ import annotations

import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

from .app import create_app

if TYPE_CHECKING:
    from IPython.display import IFrame


def make_link(host: str, port: int) -> str:
    """Return the address at which a server on ``host`` is reached."""
    address = own_address() if host in ("0.0.0.0", "::") else host
    return (
        f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
    )


def own_address() -> str:
    """Return this machine's address in its network; 127.0.0.1 without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: it asks for the route to an unused address (RFC 5737).
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; 0 takes any free port.

    Raises:
        OSError: the address cannot be taken; the message says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From now on a browser waits for the server instead of being refused.
        listener.listen()
    except OSError as error:
        listener.close()
        raise OSError(
            f"cannot listen on {host} port {port} ({error.strerror}): choose another "
            "--port (0 takes any free one) or --host"
        ) from None
    return listener


def serve(host: str, port: int, root: str | None = None, token: str = "") -> None:
    """Serve the page until interrupted, and print its links."""
    listener = open_socket(host, port)
    token = token or secrets.token_urlsafe(16)
    link = make_link(host, listener.getsockname()[1])
    app = create_app(token, link, root)
    print(f"teacher:  {link}#token={token}")
    print(f"students: {link}", flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        timeout_graceful_shutdown=1,
        access_log=False,
        # Else a request's header could choose the address whose rate is limited.
        proxy_headers=False,
    )
    _allow_many_files()
    uvicorn.Server(config).run(sockets=[listener])


def _allow_many_files() -> None:
    """Allow a connection for each viewer: the limit is often 1024 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def end_with_input() -> None:
    """End this process when its standard input closes, as when its parent ends."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


_shown: list[subprocess.Popen] = []


def show(height: int = 900, root: str | None = None) -> IFrame:
    """Start the server in its own process and show the teacher's page in a notebook.

    The server ends with the notebook's kernel, or when the page is shown again.

    Args:
        height: of the frame, in pixels.
        root: folder of the data files.

    Raises:
        RuntimeError: the page does not answer.
    """
    from IPython.display import IFrame

    token = secrets.token_urlsafe(16)
    with open_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "d2l_mlp", "demo", "--port", str(port)]
    command += ["--root", root] if root else []
    while _shown:
        _shown.pop().terminate()
    process = subprocess.Popen(
        command,
        # The system closes it when this process ends.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # On the command line every user of the machine could read the token.
        env=os.environ | {"D2L_MLP_TOKEN": token, "D2L_MLP_END_WITH_INPUT": "1"},
        # Interrupting a cell must not end the page.
        start_new_session=True,
    )
    _shown.append(process)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                link = f"{make_link('127.0.0.1', port)}#token={token}"
                return IFrame(link, width="100%", height=height)
        time.sleep(0.1)
    raise RuntimeError(
        f"the page does not answer on port {port} (exit code {process.poll()}): try "
        "python -m d2l_mlp demo in a terminal"
    )
