"""What the page's server refuses, and to whom; asked over loopback."""

import concurrent.futures
import json
import socket
import time
from pathlib import Path

from d2l_mlp.classroom.server import open_socket

import numpy as np
import pytest
from pictures import bar, encode, png_header

SMALL = {"num_hiddens": [16], "num_epochs": 2, "batch_size": 512}


@pytest.mark.parametrize("token", [None, "", "x", "é", "a" * 10_000])
@pytest.mark.parametrize("path", ["/api/run", "/api/control", "/api/teacher"])
def test_only_the_teachers_token_controls(server, path, token):
    before = server.state()
    method = "GET" if path == "/api/teacher" else "POST"
    body = None if method == "GET" else {"action": "stop"}
    if token is not None:
        token = token.encode().decode("latin-1")
    assert server.ask(path, body, token, method=method)[0] == 401
    assert server.state() == before
    assert server.ask("/api/teacher", token=server.token)[0] == 204


@pytest.mark.parametrize(
    "settings",
    [
        {"num_hiddens": [0]},
        {"num_hiddens": [513]},
        {"num_hiddens": [8] * 5},
        {"num_hiddens": "8"},
        {"num_hiddens": [8.5]},
        {"lr": 0},
        {"lr": -1},
        {"lr": 11},
        {"lr": "NaN"},
        {"lr": None},
        {"batch_size": 15},
        {"batch_size": 4097},
        {"num_epochs": 0},
        {"num_epochs": 101},
        {"seed": -1},
        {"seed": 2**31},
        {"seconds_per_epoch": 61},
        {"root": "/etc"},
    ],
    ids=str,
)
def test_every_setting_has_bounds(server, settings):
    status, _, content = server.ask("/api/run", {"settings": settings}, server.token)
    assert status == 422, content
    assert server.state()["state"] == "idle"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"1" * 100_000])
def test_what_is_no_json_is_refused(server, body):
    headers = {"Content-Type": "application/json"}
    status = server.ask("/api/run", body, server.token, headers=headers)[0]
    assert status in (400, 422)


def test_a_large_body_is_refused_before_it_is_read(server):
    for path in ("/api/run", "/api/control", "/api/predict"):
        body, headers = bytes(8_000_001), {"Content-Type": "application/json"}
        assert server.ask(path, body, server.token, headers=headers)[0] == 413


def test_a_body_of_unknown_length_is_refused_and_its_sender_told(server):
    """As curl sends what it is piped, and no faster than it comes."""

    def chunks():
        for _ in range(10):
            yield b" " * 1000
            time.sleep(0.05)

    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    assert server.ask("/api/run", chunks(), server.token, headers=headers)[0] == 411


def predict(server, content):
    status, _, answer = server.ask("/api/predict", content, method="POST")
    return status, json.loads(answer)


def test_a_drawing_gets_probabilities(server):
    server.start(**SMALL)
    server.wait_for("idle")
    trouser = np.full((280, 280), 255, np.uint8)
    trouser[30:55, 90:190] = 30
    trouser[50:250, 90:120] = trouser[50:250, 160:190] = 30
    status, answer = predict(server, encode(trouser))
    assert status == 200
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-3)
    best = answer["labels"][int(np.argmax(answer["probabilities"]))]
    assert best == "trouser"
    assert answer["image"].startswith("data:image/png;base64,")


def test_what_is_no_picture_is_refused_and_too_many_are(server):
    if not server.state()["run"]:
        server.start(**SMALL)
        server.wait_for("idle")
    assert predict(server, b"nothing")[0] == 415
    assert predict(server, png_header(60000, 60000))[0] == 415
    status, answer = predict(server, bytes(8_000_001))
    assert status == 413 and "expected at most 8000000" in answer["detail"]
    picture = encode(bar())

    def ask(i):
        # Who claims to be somebody else is counted all the same.
        headers = {"X-Forwarded-For": f"10.0.0.{i}"}
        return server.ask("/api/predict", picture, method="POST", headers=headers)[0]

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(ask, range(40)))
    assert {200, 429} <= set(statuses) <= {200, 429, 503}
    assert statuses.count(200) <= 20


def test_every_answer_has_a_strict_policy(server):
    for path in ("/", "/static/main.js", "/api/state", "/plotly.js", "/none"):
        _, headers, _ = server.ask(path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert "unsafe-eval" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_nothing_on_the_page_comes_from_elsewhere_and_no_html_is_made(server):
    static = Path(__file__).parents[2] / "d2l_mlp" / "classroom" / "static"
    for path in static.iterdir():
        text = path.read_text()
        assert "://" not in text.replace("http://www.w3.org", "")
        assert "innerHTML" not in text and "insertAdjacentHTML" not in text
    assert b"svg" in server.ask("/qr.svg")[2]
    assert server.ask("/test-images/0.png")[2].startswith(b"\x89PNG")
    assert server.ask("/test-images/10000.png")[0] == 422
    assert server.ask("/static/../app.py")[0] == 404


def test_it_listens_on_this_machine_alone(server):
    assert server.student.startswith("http://127.0.0.1:")
    port = int(server.student.rstrip("/").rpartition(":")[2])
    # Another of this machine's addresses, which a server for all would answer on.
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", port)) != 0


def test_a_link_can_be_followed_as_soon_as_it_is_printed():
    with open_socket("127.0.0.1", 0) as listener:
        socket.create_connection(listener.getsockname(), timeout=5).close()
