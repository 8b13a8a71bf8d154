"""The readers of files, and what must hold of each whatever a file has in it.

A reader gives what is whole, or refuses it by the error that it documents: it does not
crash, does not hang, and takes no more memory than the file and what belongs in it.
"""

import gzip
import hashlib
import signal
import struct
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from d2l_mlp.chapter.results import EpochResult
from d2l_mlp.dataset import releases
from d2l_mlp.runs import checkpoint
from d2l_mlp.runs import params as params_file

import numpy as np
import safetensors.numpy

CORPUS = Path(__file__).parent / "corpus"
#: Seconds of a processor that a file may take; they take a millisecond.
MOST_SECONDS = 5
#: By the clock there may be more of them: a busy machine is slow, not wrong.
BUSY = 60
#: Bytes beside those of the file: what the libraries' own buffers are.
MOST_BUFFERS = 2**20
#: Bytes that tell of a file: which seed, how many changes, and six for each of them.
LENGTH = 50
LABELS, IMAGES = "t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"


@dataclass(frozen=True)
class Reader:
    """A reader and what is known of it.

    Attributes:
        read: given a path, returns what is in it, or raises ``refusal``.
        refusal: the error that it documents.
        check: given what was read and the file's bytes, asserts that it is whole.
        most: bytes of memory that a file of this many bytes may take.
        seeds: files that are whole, or nearly.
        tokens: what stands in such files, to be put elsewhere in them.
        seal: gives bytes what makes a damaged file look whole.
    """

    read: object
    refusal: type
    check: object
    most: object
    seeds: list
    tokens: list
    seal: object = bytes


class Hang(BaseException):
    """A file takes too long; no reader's ``except Exception`` may hold it up."""


@contextmanager
def limited(seconds):
    def stop(number, frame):
        raise Hang(f"over {seconds} seconds")

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        # Who waits uses no processor.
        (signal.SIGALRM, signal.ITIMER_REAL, seconds * BUSY),
    )
    before = [signal.signal(number, stop) for number, _, _ in timers]
    for _, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


def try_file(reader, content, path, seconds=MOST_SECONDS):
    """Read ``content`` from ``path``; tell if it was whole. Raise what must not be."""
    path.write_bytes(content)
    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    try:
        with limited(seconds):
            found = reader.read(path)
    except reader.refusal as error:
        assert str(path) in str(error), f"the refusal does not name the file: {error}"
        found = None
    finally:
        taken = tracemalloc.get_traced_memory()[1] - before
        if started:
            tracemalloc.stop()
    most = reader.most(len(content)) + MOST_BUFFERS
    assert taken <= most, f"took {taken} bytes of memory, expected at most {most}"
    if found is not None:
        reader.check(found, content)
    return found is not None


def mutate(reader, program):
    """Return a file: a seed, changed as the ``LENGTH`` bytes of ``program`` tell."""
    content = bytearray(reader.seeds[program[0] % len(reader.seeds)])
    # Few changes come nearer to what is whole than many.
    for i in range(2, 2 + 6 * (program[1] // 4 % (LENGTH // 6)), 6):
        kind, a, b, c, d, e = program[i : i + 6]
        # The first bytes matter most, and so do those at the end.
        place = a % 64 if b < 64 else -1 - a % 128 if b < 96 else a + 256 * b + c
        start = place % (len(content) + 1)
        length = (1, 1, 2, 4, 8, d)[c % 6]
        number = (0, 1, 2**7, 2**15, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)[e % 9]
        match kind % 9:
            case 0:
                content[start : start + 1] = bytes([d])
            case 1 if content:
                content[start % len(content)] ^= 1 << d % 8
            case 2:
                del content[start : start + length]
            case 3:
                content[start:start] = content[max(0, start - length) : start] * (d % 9)
            case 4:
                del content[start:]
            case 5:
                order = "<" if d % 2 else ">"
                content[start : start + 8] = struct.pack(f"{order}Q", number)
            case 6:
                order = "<" if d % 2 else ">"
                content[start : start + 4] = struct.pack(f"{order}I", number % 2**32)
            case 7:
                content[start : start + e % 9] = reader.tokens[d % len(reader.tokens)]
            case _:
                other = reader.seeds[d % len(reader.seeds)]
                content[start:] = other[start:]
    return bytes(content) if program[1] % 4 == 0 else reader.seal(bytes(content))


def _idx(array):
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def tiny_release():
    """Return the facts of a release of 20 images, and its test files by name."""
    rng = np.random.default_rng(0)
    arrays = {LABELS: np.arange(20, dtype="u1") % 10}
    arrays[IMAGES] = rng.integers(0, 256, (20, 28, 28), "u1") // 128
    files = {name: _idx(array) for name, array in arrays.items()}
    sums = {name: hashlib.sha256(file).hexdigest() for name, file in files.items()}
    facts = {"bytes": {name: len(file) for name, file in files.items()}}
    facts["releases"] = [{"id": "2017-08-31", "sha256": sums, "gz_sha1": {}}]
    return facts, files


FACTS, FILES = tiny_release()


def idx_reader(name):
    """Return the reader of idx files, plain and gzipped, on a small release."""
    whole = FILES[name]

    def read(path):
        before, releases._FACTS = releases._FACTS, FACTS
        try:
            return releases.read_file(path, name)
        finally:
            releases._FACTS = before

    def check(found, content):
        # Bytes of the gzip header say nothing of what is in it.
        assert found.array.tobytes() == whole[-found.array.size :]

    return Reader(
        read=read,
        refusal=releases.DataError,
        check=check,
        # The file, what is unpacked of it and the array, whatever they say.
        most=lambda size: 3 * size + 3 * len(whole),
        seeds=[whole, gzip.compress(whole, mtime=0), gzip.compress(whole * 9, mtime=0)],
        tokens=[b"\x1f\x8b\x08", b"\0\0\x08\x01", b"\0\0\x08\x03", b"\xff\xff\xff\xff"],
        seal=lambda content: (
            gzip.compress(content, 1, mtime=0)
            if not content.startswith(b"\x1f\x8b")
            else content
        ),
    )


def seal(content):
    """Write ``content`` under a checkpoint's first line that fits it."""
    sum_ = hashlib.sha256(content).hexdigest()
    return f"d2l_mlp checkpoint 3, {len(content)} bytes, sha256 {sum_}\n".encode() + (
        content
    )


def small_checkpoint():
    arrays = [np.ones(shape, "f4") for shape in ((3, 2), 2)]
    epochs = [EpochResult(1, 0.5, 0.5, 0.5, 1.0, np.ones((2, 3)))]
    made_of = {"lr": 0.5, "num_hiddens": [8], "labels": None}
    shuffling = checkpoint.Shuffling(key=[0] * 624, position=0)
    return checkpoint.Checkpoint(made_of, arrays, epochs, shuffling)


def checkpoint_reader():
    """Return the reader of checkpoints; what is sealed holds anything."""
    line, content = small_checkpoint().to_file()
    (length,) = struct.unpack("<Q", content[:8])
    header, rest = content[8 : 8 + length], content[8 + length :]

    def sealed(changed):
        if changed.startswith(b"d2l_mlp"):
            changed = changed.partition(b"\n")[2]
        elif changed.startswith(b"{"):
            # A header of any length, which its first bytes tell.
            changed = struct.pack("<Q", changed.find(b"}}") + 2) + changed
        return seal(changed)

    def check(found, content):
        # What was taken can be kept again, and taken again.
        again = checkpoint._parse(found.to_file()[1])
        assert again.results == found.results
        for one, other in zip(again.params, found.params, strict=True):
            assert one.tobytes() == other.tobytes() and one.shape == other.shape

    return Reader(
        read=checkpoint.read,
        refusal=checkpoint.CheckpointError,
        check=check,
        # Of a byte of JSON as [[[ a list of 56 is made.
        most=lambda size: 130 * size,
        seeds=[line + content, content, header + rest],
        tokens=[
            b"{", b"}", b"[", b"]", b'"', b",", b":", b"NaN", b"-1", b"1e999", b"null",
            b'"W1":', b'"record":', b"F64", b"BOOL", b"I64", b"[" * 200, b"-Infinity",
            b'"made_of":{', b'"shape":[0]', b"9" * 30, b'"a":1,"a":2,', b"\xff\xfe",
            b'"__metadata__":{},', b"\\ud800", b"true",
        ],
        seal=sealed,
    )  # fmt: skip


def small_nets():
    """Return nets in a file: without a hidden layer, and with one."""
    arrays = {"W1": np.zeros((784, 10), "f4"), "b1": np.zeros(10, "f4")}
    deep = {"W1": np.zeros((784, 2), "f4"), "b1": np.zeros(2, "f4")}
    deep |= {"W2": np.zeros((2, 10), "f4"), "b2": np.zeros(10, "f4")}
    return [safetensors.numpy.save(net) for net in (arrays, deep)]


def params_reader():
    """Return the reader of trained parameters."""

    def check(found, content):
        assert found[0].shape[0] == 784 and found[-1].shape == (10,)
        assert all(np.isfinite(a).all() and a.dtype == np.float32 for a in found)

    return Reader(
        read=params_file.load_arrays,
        refusal=params_file.NoNetError,
        check=check,
        most=lambda size: 5 * size + 5 * 10**5,
        seeds=small_nets(),
        tokens=[
            b"{", b"}", b"[", b"]", b'"', b",", b":", b'"W1":', b'"b1":', b'"W2":',
            b"F32", b"F64", b"BOOL", b"[784,10]", b"[" * 200, b"-1", b"9" * 30,
            b"PK\x03\x04", b'"shape":[0]', b'"data_offsets":[0,40]',
        ],
    )  # fmt: skip


READERS = {
    "idx-labels": idx_reader(LABELS),
    "idx-images": idx_reader(IMAGES),
    "checkpoint": checkpoint_reader(),
    "params": params_reader(),
}
