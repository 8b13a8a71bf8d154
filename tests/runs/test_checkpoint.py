"""A checkpoint's file: the same bits back, or a refusal that says why."""

import hashlib
import pickle
import random
import resource
import struct
from pathlib import Path

from d2l_mlp.chapter import model as models
from d2l_mlp.chapter.results import EpochResult
from d2l_mlp.runs import params as params_file
from d2l_mlp.runs.checkpoint import (
    Checkpoint,
    CheckpointError,
    Optimizer,
    Shuffling,
    read,
)

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

finite = st.floats(allow_nan=False, allow_infinity=False)
shapes = arrays.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4)


def result(epoch, batches, loss=0.5, seconds=1.25):
    return EpochResult(epoch, loss, 0.1 + 0.2, 1 / 3, seconds, batches)


def make(num_epochs=2, made_of=None):
    rng = np.random.default_rng(num_epochs)
    params = [rng.normal(size=s).astype("f4") for s in ((6, 3), 3, (3, 2), 2)]
    results = [result(i + 1, rng.random((4, 3))) for i in range(num_epochs)]
    return Checkpoint(made_of or {"lr": 0.5}, params, results, Shuffling.now())


def write(path, checkpoint):
    path.write_bytes(b"".join(checkpoint.to_file()))
    return path


def seal(path, content):
    """Write ``content`` under a first line that fits it."""
    sum_ = hashlib.sha256(content).hexdigest()
    line = f"d2l_mlp checkpoint 3, {len(content)} bytes, sha256 {sum_}\n"
    path.write_bytes(line.encode() + content)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@given(
    params=st.lists(arrays.arrays(np.float32, shapes), min_size=1, max_size=6),
    batches=st.lists(
        arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.just(3))),
        min_size=1,
        max_size=4,
    ),
    numbers=st.tuples(finite, finite),
    made_of=st.dictionaries(st.text(), st.none() | finite | st.text() | st.booleans()),
    optimizer=st.none()
    | st.builds(Optimizer, num_update=st.integers(0, 10**9), learning_rate=finite),
    order=st.sampled_from("CF"),
)
@settings(max_examples=60)
def test_what_is_read_is_what_was_written(
    folder, params, batches, numbers, made_of, optimizer, order
):
    params = [np.asarray(param, order=order) for param in params]
    batches = [np.asarray(part, order=order) for part in batches]
    results = [result(i + 1, part, *numbers) for i, part in enumerate(batches)]
    kept = Checkpoint(made_of, params, results, Shuffling.now(), optimizer)
    path = write(folder / "file", kept)
    found = read(path)
    assert (found.made_of, found.optimizer) == (made_of, optimizer)
    assert found.shuffling == kept.shuffling
    assert found.results == results
    for name in ("params", "batches"):
        both = ([r.batches for r in c.results] for c in (found, kept))
        pairs = zip(
            *(both if name == "batches" else (found.params, params)), strict=True
        )
        for one, other in pairs:
            assert one.dtype == other.dtype and one.shape == other.shape
            # NaN and infinity, too, and the sign of zero.
            assert one.tobytes() == other.tobytes()


def test_a_checkpoint_cut_off_anywhere_is_refused(tmp_path):
    content = b"".join(make().to_file())
    path = tmp_path / "file"
    for length in {*range(140), *range(0, len(content), 97), len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="file: found .*expected"):
            read(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(
        CheckpointError, match=r"found \d+ bytes, expected the \d+ that"
    ):
        read(path)


def test_a_checkpoint_with_any_bit_flipped_is_refused(tmp_path):
    content = b"".join(make(1).to_file())
    path = tmp_path / "file"
    rng = random.Random(0)
    places = [*range(130 * 8), *(rng.randrange(len(content) * 8) for _ in range(500))]
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match="file: found"):
            read(path)
    path.write_bytes(content)
    read(path)


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path(TRAP),))


TRAP = "unset"


@pytest.mark.parametrize("kind", ["npz", "pickled", "pickle", "text", "empty", "line"])
def test_a_file_of_something_else_is_refused_and_not_run(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(globals(), "TRAP", str(tmp_path / "trapped"))
    path = tmp_path / "file"
    if kind in ("npz", "pickled"):
        value = np.array([Trap()], object) if kind == "pickled" else np.ones(3)
        with path.open("wb") as file:
            np.savez(file, W1=value)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
        # It is a trap.
        pickle.loads(path.read_bytes())
        (tmp_path / "trapped").unlink()
    else:
        texts = {"text": "a diary\n", "empty": "", "line": "x" * 10**6}
        path.write_text(texts[kind])
    with pytest.raises(CheckpointError, match="file: found another file"):
        read(path)
    seal(path, path.read_bytes())
    with pytest.raises(CheckpointError, match="file: found no checkpoint in it"):
        read(path)
    assert not (tmp_path / "trapped").exists()


@pytest.fixture
def little_memory():
    """Let this process take 500 MB more, and no more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + 500 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    "header",
    [
        '{"W1":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}',
        '{"W1":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}',
        '{"W1":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}',
        "[" * 100_000,
    ],
)
def test_a_file_that_says_it_is_huge_takes_no_memory(tmp_path, header):
    content = struct.pack("<Q", len(header)) + header.encode()
    with pytest.raises(CheckpointError, match="found no checkpoint in it"):
        read(seal(tmp_path / "file", content))


@pytest.mark.usefixtures("little_memory")
def test_a_first_line_that_says_more_than_the_file_has_is_not_believed(tmp_path):
    path = tmp_path / "file"
    path.write_text(f"d2l_mlp checkpoint 3, {10**14} bytes, sha256 {'0' * 64}\nabc")
    with pytest.raises(CheckpointError, match="found 3 bytes, expected the 1000"):
        read(path)


def changed(**changes):
    """Return a checkpoint's arrays, some replaced, and its record edited by others."""
    _, content = make().to_file()
    found = safetensors.numpy.load(content)
    record = found["record"].tobytes().decode()
    for name, value in changes.items():
        if callable(value):
            record = value(record)
        elif value is None:
            del found[name]
        else:
            found[name] = value
    if "record" in found:
        found["record"] = np.frombuffer(record.encode(), np.uint8)
    return safetensors.numpy.save(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"record": None},
        {"batches": None},
        {"W1": None},
        {"W9": np.ones(3, "f4")},
        {"W1": np.ones((6, 3))},
        {"batches": np.ones((7, 3))},
        {"batches": np.ones((8, 3), "f4")},
        {"edit": lambda text: text.replace('"num_params":4', '"num_params":99999999')},
        {"edit": lambda text: text.replace('"num_batches":4', '"num_batches":1e3')},
        {
            "edit": lambda text: text.replace(
                '"num_batches":4', f'"num_batches":{10**30}'
            )
        },
        {"edit": lambda text: text.replace('"made_of"', '"mode_of"')},
        {"edit": lambda text: text[:-1]},
    ],
)
def test_what_is_sealed_but_holds_other_things_is_refused(tmp_path, changes):
    read(seal(tmp_path / "good", changed()))
    with pytest.raises(CheckpointError, match="found no checkpoint in it"):
        read(seal(tmp_path / "bad", changed(**changes)))


def test_another_version_of_the_format_is_named_as_such(tmp_path):
    path = write(tmp_path / "file", make())
    path.write_bytes(path.read_bytes().replace(b"checkpoint 3,", b"checkpoint 2,"))
    with pytest.raises(CheckpointError, match="or a checkpoint of another version"):
        read(path)


def test_an_epoch_without_its_batches_cannot_be_kept():
    kept = make()
    kept.results[0] = EpochResult(1, 0.5, 0.5, 0.5, 1.0)
    with pytest.raises(CheckpointError, match="batches: found none"):
        kept.to_file()


def test_names_in_a_file_are_those_of_saved_parameters(tmp_path):
    _, content = make().to_file()
    params_file.save_params(models.init_params(8), tmp_path / "params.safetensors")
    names = {"W1", "b1", "W2", "b2"}
    assert set(safetensors.numpy.load_file(tmp_path / "params.safetensors")) == names
    assert set(safetensors.numpy.load(content)) == names | {"batches", "record"}
