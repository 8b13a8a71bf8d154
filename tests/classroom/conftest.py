"""A real server on loopback, for all tests of the page."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

#: A busy machine may need most of it; nothing waits this long elsewhere.
SECONDS = 120


class Server:
    """A server in a process of its own.

    Attributes:
        student, teacher: links that it printed.
        token: the teacher's.
        finished: whether the latest events are those of ``finished_run``.
    """

    def __init__(self, *arguments):
        self.finished = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "d2l_mlp", "demo", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.teacher, self.student = (
            self.process.stdout.readline().split()[-1] for _ in range(2)
        )
        self.token = re.search("token=(.+)", self.teacher)[1]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                self.ask("/api/state")
                return
            except urllib.error.URLError:
                time.sleep(0.1)

    def ask(self, path, body=None, token=None, method=None, headers=None):
        """Return status, headers and content of an answer."""
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(
            self.student + path.lstrip("/"), body, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def state(self):
        return json.loads(self.ask("/api/state")[2])

    def wait_for(self, state):
        deadline = time.monotonic() + SECONDS
        while (found := self.state()["state"]) != state:
            assert time.monotonic() < deadline, f"found {found}, expected {state}"
            time.sleep(0.05)

    def start(self, paused=False, **settings):
        self.finished = False
        body = {"settings": settings, "paused": paused}
        status, _, content = self.ask("/api/run", body, self.token)
        assert status == 201, content
        return json.loads(content)["run"]

    def control(self, action, **more):
        self.finished = False
        return self.ask("/api/control", {"action": action, **more}, self.token)[0]

    def calm(self):
        """End what is going on."""
        if self.state()["state"] != "idle":
            self.control("stop")
        self.wait_for("idle")

    def events(self, after=None, until=None):
        """Return events ``(id, type, data)`` after ``after``, up to ``until(data)``."""
        headers = {"Last-Event-ID": after} if after else {}
        request = urllib.request.Request(self.student + "events", headers=headers)
        found, block = [], {}
        with urllib.request.urlopen(request, timeout=SECONDS) as stream:
            for line in stream:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name and value:
                    block[name] = value
                elif "data" in block:
                    data = json.loads(block["data"])
                    found.append((block["id"], block["event"], data))
                    block = {}
                    if until is not None and until(data):
                        break
        return found

    def close(self):
        self.process.terminate()
        self.process.wait(SECONDS)
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(scope="session")
def session_server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(session_server):
    """The server, with no run going on before and after."""
    session_server.calm()
    yield session_server
    session_server.calm()


@pytest.fixture
def finished_run(server):
    """The server, with one finished run to be seen; tests that only look share it."""
    if not server.finished:
        server.control("reset")
        server.start(num_hiddens=[16], num_epochs=1)
        server.wait_for("idle")
        server.finished = True
    return server


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium; ``.ci/run`` installs it and asks that it be there."""
    from playwright.sync_api import expect, sync_playwright

    path = shutil.which("chromium")
    if path is None and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip("chromium is not installed: apt-get install chromium")
    assert path, "chromium is not installed: apt-get install chromium"
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        # A sandbox of its own is not to be had as root.
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox"]
        )
        yield browser
        browser.close()
