import gzip
import hashlib
import signal
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.dataset import releases

import numpy as np
import pytest
from hypothesis import settings
from mxnet import nd
from mxnet.gluon.data.vision import datasets
from processes import Child, Group

subprocess.Popen = Child
# Behind a shell's & it is ignored, and would be in the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: Modules whose tests start processes, or train for long; `make test-fast` leaves them
#: out, and what wants a browser or a database.
SLOW = {
    "test_api",
    "test_bad_input",
    "test_cli",
    "test_cli_checkpoint",
    "test_cli_compare",
    "test_cli_exercise",
    "test_cli_launch",
    "test_cli_predict",
    "test_compat",
    "test_compat_engine",
    "test_determinism",
    "test_workers",
    "test_doctor",
    "test_document",
    "test_download_processes",
    "test_fresh_machine",
    "test_fuzz",
    "test_hybrid_epochs",
    "test_killed_runs",
    "test_packaging",
    "test_pythons",
    "test_resuming",
    "test_readers",
    "test_runs",
    "test_search",
    "test_setup",
    "test_shown_commands",
    "test_stop",
    "test_sweep",
    "test_threads",
    "test_train",
    "test_training_batches",
    "test_twins",
    "test_variants",
    "test_wheels",
}
MARKS = {"test_browser": "browser", "test_postgres": "postgres"}
LONG = SLOW | set(MARKS) | {"test_search_deaths", "test_compiled_processes"}


def pytest_collection_modifyitems(items):
    for item in items:
        name = item.path.stem
        mark = MARKS.get(name) or ("slow" if name in SLOW else None)
        if mark:
            item.add_marker(mark)
    # The long files first, so that no process is left alone with one at the end.
    items.sort(
        key=lambda item: item.path.suffix == ".py" and item.path.stem not in LONG
    )


# A busy machine is slow, not wrong.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def fashion_mnist():
    return data.load_fashion_mnist()


@pytest.fixture(scope="session")
def folder():
    """The folder of the real files."""
    return data.find_release()[releases.FILES[0]].path.parent


@pytest.fixture
def group():
    """Processes that are ended with the test."""
    one = Group()
    yield one
    one.end()


def idx(array):
    """Write uint8 images ``(n, 28, 28)`` or labels ``(n,)`` in the idx format."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def made(monkeypatch):
    """Two small releases in place of the published ones: ``.gz`` bytes by id and name.

    Their sums are as complete as the published ones: of the images of 2017-08-26 only
    the SHA-1 of the ``.gz`` file is known.
    """
    generator = np.random.default_rng(0)
    contents, facts = {}, {"bytes": {}, "releases": []}
    for release in ("2017-08-26", "2017-08-31"):
        sums = {"id": release, "sha256": {}, "gz_sha1": {}}
        contents[release] = {}
        for name in releases.FILES:
            labels = np.arange(60 if name.startswith("train") else 20, dtype="u1") % 10
            images = generator.integers(0, 256, (len(labels), 28, 28), dtype="u1")
            raw = idx(images if "images" in name else generator.permutation(labels))
            packed = gzip.compress(raw, mtime=0)
            contents[release][name] = packed
            facts["bytes"][name] = len(raw)
            sums["gz_sha1"][name] = hashlib.sha1(packed).hexdigest()
            if (release, name.split("-")[1]) != ("2017-08-26", "images"):
                sums["sha256"][name] = hashlib.sha256(raw).hexdigest()
        facts["releases"].append(sums)
    monkeypatch.setattr(releases, "_FACTS", facts)
    return contents


class Server(ThreadingHTTPServer):
    """Serves ``files``; the ``faults`` of a file come first, one a request.

    Attributes:
        files: content by name, without ``.gz``.
        faults: iterator over names of ``Handler`` methods, by file name.
        gate: what ``slow`` and ``stalled`` wait for; without it, 20 seconds.
        asked: set by the first request.
        requests: paths asked for.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.files, self.faults, self.requests = {}, {}, []
        self.gate, self.asked = threading.Event(), threading.Event()

    def handle_error(self, request, client_address):
        """Say nothing: a client that hangs up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        self.server.asked.set()
        name = self.path.rpartition("/")[2].removesuffix(".gz")
        self.content = self.server.files.get(name)
        fault = next(self.server.faults.get(name, iter(())), "good")
        getattr(self, fault if self.content else "not_found")()

    def log_message(self, *args):
        pass

    def send(self, content, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def good(self):
        self.send(self.content, len(self.content))

    def not_found(self):
        self.send_error(404)

    def slow(self):
        self.server.gate.wait(20)
        self.good()

    def cut_off(self):
        self.send(self.content[: len(self.content) // 2], len(self.content))

    def stalled(self):
        self.cut_off()
        self.server.gate.wait(20)
        self.wfile.write(self.content[len(self.content) // 2 :])

    def wrong_bytes(self):
        """Send another checksum than the bytes before it have."""
        crc = bytes(byte ^ 255 for byte in self.content[-8:-4])
        content = self.content[:-8] + crc + self.content[-4:]
        self.send(content, len(content))

    def wrong_header(self):
        self.send(self.content, "many")


@pytest.fixture
def server():
    """Start an HTTP server on loopback; may be called several times."""
    running = []

    def start():
        running.append(Server())
        threading.Thread(target=running[-1].serve_forever, args=(0.01,)).start()
        return running[-1]

    yield start
    for one in running:
        one.gate.set()
        one.shutdown()
        one.server_close()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


@pytest.fixture
def mirrors(made, server, monkeypatch, tmp_path):
    """Two servers in place of MXNet's and Zalando's, each with its own small release.

    There is no data elsewhere: Gluon's and Debian's folders lie in ``tmp_path``.
    """
    first, second = server(), server()
    first.files, second.files = (dict(files) for files in made.values())
    monkeypatch.setenv("MXNET_GLUON_REPO", first.url)
    monkeypatch.setitem(releases.URLS, "2017-08-31", second.url)
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "mxnet"))
    monkeypatch.setattr(data, "DEBIAN_FOLDER", tmp_path / "debian")
    # The waits between pooch's tries, without those of the rest of the process.
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))
    return first, second


@pytest.fixture
def gluon_finds_debians_files(monkeypatch, folder, tmp_path):
    """Gluon's own FashionMNIST class, and so gluonbook, read the verified files.

    It would refuse them otherwise: it expects the other release, gzipped by others.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        datasets,
        "download",
        lambda url, **_: str(folder / url.rpartition("/")[2]),
    )


@pytest.fixture(scope="module")
def batch(fashion_mnist):
    """A batch of 256 real images, float32 ``(256, 1, 28, 28)``, and int32 labels."""
    images = fashion_mnist.train_images[:256].reshape(256, 1, 28, 28)
    return nd.array(images / np.float32(255)), nd.array(
        fashion_mnist.train_labels[:256], dtype="int32"
    )


@contextmanager
def mounted(folder, options):
    """Mount a disk in memory; skip the test where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"cannot mount a disk: {error}")
    if done.returncode:
        pytest.skip(f"cannot mount a disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 64 kB."""
    with mounted(tmp_path / "disk", "size=64k") as folder:
        yield folder


@pytest.fixture
def fixed_disk(tmp_path):
    """Mount a disk that cannot be written to."""
    with mounted(tmp_path / "fixed-disk", "ro") as folder:
        yield folder
