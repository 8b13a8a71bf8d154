import gzip
import inspect
import json
import tracemalloc
from pathlib import Path

from d2l_mlp.dataset import releases
from d2l_mlp.dataset.releases import FILES, DataError, is_whole, read_file, read_folder

import numpy as np
import pytest
from folders import fill
from hypothesis import given
from hypothesis import strategies as st
from mxnet.gluon.data.vision import FashionMNIST

LABELS = "t10k-labels-idx1-ubyte"
IMAGES = "t10k-images-idx3-ubyte"
MNIST_CLASSES = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


@pytest.fixture(scope="session")
def real(fashion_mnist, folder):
    """The small files of the real data: ``.gz`` bytes and release."""
    files = {name: (folder / f"{name}.gz").read_bytes() for name in (LABELS, IMAGES)}
    return files, fashion_mnist.release


def idx(magic, sizes, content):
    return b"".join(size.to_bytes(4, "big") for size in (magic, *sizes)) + bytes(
        content
    )


def refusal(path, name, raw):
    """Return the message with which ``raw`` is refused; it names the file."""
    path.write_bytes(raw)
    with pytest.raises(DataError) as caught:
        read_file(path, name)
    message = str(caught.value)
    assert message.startswith(f"{path}: found ") and ", expected " in message
    return message


def test_the_facts_agree_with_gluons_own_sums():
    source = inspect.getsource(FashionMNIST)
    first = releases._FACTS["releases"][0]
    assert first["id"] == "2017-08-26"
    for name in FILES:
        assert f"'{name}.gz'" in source and first["gz_sha1"][name] in source


def test_real_files_are_recognised(fashion_mnist, folder):
    files, faults = read_folder(folder)
    assert is_whole(files) and not faults
    assert {file.release for file in files.values()} == {fashion_mnist.release}
    assert fashion_mnist.release in releases.URLS
    shapes = [files[name].array.shape for name in FILES]
    assert shapes == [(60000, 28, 28, 1), (60000,), (10000, 28, 28, 1), (10000,)]
    assert all(file.array.dtype == np.uint8 for file in files.values())
    assert np.bincount(files[LABELS].array).tolist() == [1000] * 10


def test_real_file_uncompressed_and_compressed_anew(real, tmp_path):
    files, release = real
    raw = gzip.decompress(files[LABELS])
    for content in (raw, gzip.compress(raw, 1), gzip.compress(raw, 9, mtime=1)):
        (tmp_path / LABELS).write_bytes(content)
        file = read_file(tmp_path / LABELS, LABELS)
        assert file.release == release and file.path == tmp_path / LABELS
        assert file.array.tobytes() == raw[8:]


def test_pixels_and_labels_keep_their_places(tmp_path, made):
    for name, packed in made["2017-08-31"].items():
        (tmp_path / name).write_bytes(packed)
        file = read_file(tmp_path / name, name)
        content = gzip.decompress(packed)[16 if "images" in name else 8 :]
        assert file.array.tobytes() == content
        assert file.array.shape[1:] == ((28, 28, 1) if "images" in name else ())


@pytest.mark.parametrize("name", FILES)
def test_release_known_by_the_gz_file_alone(tmp_path, made, name):
    packed = made["2017-08-26"][name]
    (tmp_path / name).write_bytes(packed)
    assert read_file(tmp_path / name, name).release == "2017-08-26"

    anew = gzip.compress(gzip.decompress(packed), mtime=1)
    if "labels" in name:
        (tmp_path / name).write_bytes(anew)
        assert read_file(tmp_path / name, name).release == "2017-08-26"
    else:
        assert "unknown content" in refusal(tmp_path / name, name, anew)


def html(raw):
    return b"<!DOCTYPE html><title>Sign in</title>"


@pytest.mark.parametrize("packed", [False, True], ids=["idx", "gz"])
@pytest.mark.parametrize(
    "damage, found, expected",
    [
        (html, "37 bytes", "10008 bytes"),
        (lambda raw: b"", "0 bytes", "10008 bytes"),
        (lambda raw: raw[:7], "7 bytes", "10008 bytes"),
        (lambda raw: raw[:-1], "10007 bytes", "10008 bytes"),
        (lambda raw: raw + b"\0", "over 10008 bytes", "10008 bytes"),
        (lambda raw: b"\0\0\x08\x03" + raw[4:], "unknown content", LABELS),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "unknown content", LABELS),
    ],
    ids=["html", "empty", "header", "short", "long", "magic", "flipped"],
)
def test_damage_is_named(real, tmp_path, damage, found, expected, packed):
    raw = damage(gzip.decompress(real[0][LABELS]))
    content = gzip.compress(raw) if packed else raw
    message = refusal(tmp_path / LABELS, LABELS, content)
    before, _, after = message.rpartition(", expected ")
    assert found in before and expected in after


def test_damage_in_images_is_named(real, tmp_path):
    raw = gzip.decompress(real[0][IMAGES])
    path = tmp_path / IMAGES
    assert "found 1000 bytes" in refusal(path, IMAGES, raw[:1000])
    flipped = raw[:-1] + bytes([raw[-1] ^ 1])
    assert "found unknown content (SHA-256 " in refusal(path, IMAGES, flipped)


@pytest.mark.parametrize(
    "damage",
    [
        lambda gz: gz[:5],
        lambda gz: gz[: len(gz) // 2],
        lambda gz: gz[:-1],
        lambda gz: gz[:1000] + bytes([gz[1000] ^ 255]) + gz[1001:],
        lambda gz: gz[:-8] + bytes([gz[-8] ^ 1]) + gz[-7:],
        lambda gz: gz + b"more",
    ],
    ids=["header", "half", "trailer", "byte", "crc", "garbage"],
)
def test_damaged_gzip_is_named(real, tmp_path, damage):
    message = refusal(tmp_path / LABELS, LABELS, damage(real[0][LABELS]))
    assert "a damaged gzip file (" in message and "10008 bytes" in message


def test_a_gzip_bomb_is_not_inflated(real, tmp_path):
    bomb = gzip.compress(gzip.decompress(real[0][LABELS]) + bytes(64 << 20))
    (tmp_path / LABELS).write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="found over 10008 bytes"):
            read_file(tmp_path / LABELS, LABELS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(bomb) + (4 << 20)


def test_a_plain_mnist_is_told_by_its_classes(tmp_path):
    labels = np.repeat(np.arange(10, dtype="u1"), MNIST_CLASSES)
    content = idx(0x801, (60000,), np.random.default_rng(0).permutation(labels))
    name = "train-labels-idx1-ubyte"
    message = refusal(tmp_path / name, name, gzip.compress(content))
    assert "unknown content" in message and "as plain MNIST has" in message
    assert f"expected {name} of Fashion-MNIST, 2017-08-26 or 2017-08-31" in message


def test_a_balanced_unknown_file_is_not_called_mnist(tmp_path):
    content = idx(0x801, (10000,), bytes(range(10)) * 1000)
    assert "MNIST has" not in refusal(tmp_path / LABELS, LABELS, content)


def test_folder_missing_or_a_file_is_no_fault(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        assert read_folder(folder) == ({}, [])


def test_folder_with_what_cannot_be_read(tmp_path, made):
    folder = tmp_path
    fill(folder, made["2017-08-31"])
    (folder / f"{LABELS}.gz").unlink()
    (folder / f"{LABELS}.gz").mkdir()
    files, faults = read_folder(folder)
    assert sorted(files) == sorted(set(FILES) - {LABELS}) and not is_whole(files)
    assert faults == [f"{folder / LABELS}.gz: cannot be read (Is a directory)"]


def test_an_uncompressed_file_stands_in_for_a_damaged_one(tmp_path, made):
    folder = tmp_path
    fill(folder, made["2017-08-31"])
    (folder / f"{LABELS}.gz").write_bytes(b"")
    (folder / LABELS).write_bytes(gzip.decompress(made["2017-08-31"][LABELS]))
    files, faults = read_folder(folder)
    assert is_whole(files) and files[LABELS].path == folder / LABELS
    assert len(faults) == 1 and faults[0].startswith(f"{folder / LABELS}.gz: found 0")


def test_mixed_releases_are_not_whole(tmp_path, made):
    folder = tmp_path
    fill(folder, made["2017-08-31"])
    assert is_whole(read_folder(folder)[0])
    fill(folder, {LABELS: made["2017-08-26"][LABELS]})
    files, faults = read_folder(folder)
    assert len(files) == 4 and not faults and not is_whole(files)
    assert releases.release_ids(files) == ["2017-08-26", "2017-08-31"]


@given(
    prefix=st.sampled_from([b"", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08", b"\0\0\x08"]),
    content=st.binary(max_size=64),
    name=st.sampled_from(FILES),
)
def test_any_file_is_read_to_a_data_error(tmp_path_factory, prefix, content, name):
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(prefix + content)
    with pytest.raises(DataError):
        read_file(path, name)


@given(data=st.data(), packed=st.booleans())
def test_a_changed_file_is_refused_or_reads_the_same(
    real, tmp_path_factory, data, packed
):
    raw = gzip.decompress(real[0][LABELS])
    content = real[0][LABELS] if packed else raw
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(start + 40, len(content))))
    content = content[:start] + data.draw(st.binary(max_size=40)) + content[stop:]
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(content)
    try:
        file = read_file(path, LABELS)
    except DataError:
        return
    # Bytes of the gzip header say nothing of what is in it.
    assert file.array.tobytes() == raw[8:]


def test_the_facts_are_package_data():
    path = Path(releases.__file__).with_name("releases.json")
    facts = json.loads(path.read_text())
    assert list(releases.URLS) == ["2017-08-26", "2017-08-31"]
    for release in facts["releases"]:
        for name in FILES:
            assert name in release["sha256"] or name in release["gz_sha1"]
