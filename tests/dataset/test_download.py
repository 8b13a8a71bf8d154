import itertools
import os

from d2l_mlp.dataset import download, releases
from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.dataset.releases import FILES, DataError

import numpy as np
import pytest
from folders import asked, contents, fill
from mxnet.gluon.utils import _get_repo_file_url

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.5)


def test_fetches_all_four_from_the_first_mirror(mirrors, made, root, capfd):
    first, second = mirrors
    files = data.find_release(root)
    assert releases.is_whole(files)
    assert releases.release_ids(files) == ["2017-08-26"]
    assert all(file.path == root / f"{name}.gz" for name, file in files.items())
    assert contents(root) == made["2017-08-26"]
    assert first.requests == [f"/gluon/dataset/fashion-mnist/{n}.gz" for n in FILES]
    assert not second.requests
    progress = capfd.readouterr().err
    assert "100%" in progress and "B/s" in progress

    again = data.find_release(root)
    for name in FILES:
        np.testing.assert_array_equal(again[name].array, files[name].array)
    assert len(first.requests) == 4


def test_a_cache_may_be_shared(mirrors, made, root):
    umask = os.umask(0o022)
    try:
        data.find_release(root)
    finally:
        os.umask(umask)
    modes = {path.stat().st_mode & 0o777 for path in root.glob("*.gz")}
    assert modes == {0o644}


def test_a_relative_root(mirrors, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data.find_release("some/where")
    assert contents(tmp_path / "some" / "where") == made["2017-08-26"]


@pytest.mark.parametrize(
    "fault", ["slow", "stalled", "cut_off", "wrong_bytes", "not_found"]
)
def test_a_fault_then_good(mirrors, impatient, made, root, fault):
    first, second = mirrors
    first.faults[TEST_LABELS] = iter([fault])
    assert releases.release_ids(data.find_release(root)) == ["2017-08-26"]
    assert contents(root) == made["2017-08-26"]
    assert asked(first) == [*FILES, TEST_LABELS]
    assert not second.requests


@pytest.mark.parametrize("fault", ["cut_off", "wrong_bytes", "not_found"])
def test_a_lasting_fault_turns_to_the_second_mirror(mirrors, made, root, fault):
    first, second = mirrors
    first.faults[TRAIN_LABELS] = itertools.repeat(fault)
    assert releases.release_ids(data.find_release(root)) == ["2017-08-31"]
    assert contents(root) == made["2017-08-31"]
    assert asked(first) == [TRAIN_IMAGES] + [TRAIN_LABELS] * (1 + download.RETRIES)
    assert asked(second) == list(FILES)


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("slow", "gave no answer within 0.5 seconds"),
        ("stalled", "cannot be reached, or broke off"),
        ("wrong_bytes", "SHA1 hash .* does not match the known hash"),
        ("wrong_header", "invalid literal for int.*'many'"),
    ],
)
def test_the_error_tells_each_mirrors_cause(
    mirrors, impatient, root, monkeypatch, fault, cause
):
    monkeypatch.setattr(download, "RETRIES", 0)
    first, second = mirrors
    first.files = {}
    second.faults[TRAIN_IMAGES] = itertools.repeat(fault)
    not_found = f"{first.url}gluon/dataset/fashion-mnist/: 404"
    with pytest.raises(DataError, match=f"{not_found}.*\n *{second.url}: {cause}"):
        data.find_release(root)


@pytest.mark.parametrize(
    "repo", ["nonsense", "ftp://127.0.0.1/", "http://[", "http://"]
)
def test_an_unusable_mirror_turns_to_the_second(mirrors, root, monkeypatch, repo):
    monkeypatch.setenv("MXNET_GLUON_REPO", repo)
    assert releases.release_ids(data.find_release(root)) == ["2017-08-31"]


def test_nothing_to_be_had(mirrors, tmp_path, root):
    first, second = mirrors
    first.files = {}
    second.faults[TRAIN_IMAGES] = itertools.repeat("wrong_bytes")
    fill(root, {TEST_LABELS: b"damaged"})
    with (
        pytest.warns(UserWarning, match="damaged data file"),
        pytest.raises(DataError) as caught,
    ):
        data.find_release(root)
    message = str(caught.value)
    for finding in (
        f"{root / TEST_LABELS}.gz: found 7 bytes, expected 28 bytes",
        f"{tmp_path / 'debian'}: found 0 of the four files",
        f"{first.url}gluon/dataset/fashion-mnist/: 404",
        f"{second.url}: SHA1 hash of downloaded file ({TRAIN_IMAGES}.gz) does not",
        "apt-get install dataset-fashion-mnist",
        f"put its four .gz files into {root}",
    ):
        assert finding in message
    assert contents(root) == {TEST_LABELS: b"damaged"}


def test_no_server_at_all(mirrors, root, monkeypatch):
    for mirror in mirrors:
        mirror.shutdown()
        mirror.server_close()
    with pytest.raises(DataError, match="apt-get install"):
        data.find_release(root)
    assert not contents(root)


def test_a_damaged_cached_file_is_fetched_anew(mirrors, made, root):
    first, second = mirrors
    fill(root, made["2017-08-26"])
    damaged = bytearray(made["2017-08-26"][TEST_IMAGES])
    damaged[500] ^= 1
    fill(root, {TEST_IMAGES: damaged})
    with pytest.warns(UserWarning, match=f"damaged data file: .*{TEST_IMAGES}"):
        files = data.find_release(root)
    assert releases.is_whole(files)
    assert contents(root) == made["2017-08-26"]
    assert asked(first) == [TEST_IMAGES] and not second.requests


def test_a_missing_file_alone_is_fetched(mirrors, made, root):
    fill(root, made["2017-08-26"])
    (root / f"{TRAIN_LABELS}.gz").unlink()
    assert releases.is_whole(data.find_release(root))
    assert asked(mirrors[0]) == [TRAIN_LABELS]


def test_files_of_another_release_are_replaced(mirrors, made, root):
    fill(root, made["2017-08-31"])
    (root / f"{TRAIN_LABELS}.gz").unlink()
    assert releases.release_ids(data.find_release(root)) == ["2017-08-26"]
    assert contents(root) == made["2017-08-26"]
    assert asked(mirrors[0]) == list(FILES)


def test_a_mixed_folder_is_replaced(mirrors, made, root):
    fill(root, made["2017-08-31"] | {TEST_LABELS: made["2017-08-26"][TEST_LABELS]})
    assert releases.release_ids(data.find_release(root)) == ["2017-08-26"]
    assert contents(root) == made["2017-08-26"]


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/fashion-mnist"])
def test_a_root_that_cannot_be_written(mirrors, tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    unusable = tmp_path / place
    with pytest.raises(DataError) as caught:
        data.find_release(unusable)
    assert f"cannot write to {unusable}: " in str(caught.value)
    assert "apt-get install" in str(caught.value)
    assert not mirrors[0].requests


def test_a_folder_in_the_place_of_a_file(mirrors, root):
    (root / f"{TEST_LABELS}.gz").mkdir(parents=True)
    with (
        pytest.warns(UserWarning, match="cannot be read"),
        pytest.raises(DataError, match="Is a directory"),
    ):
        data.find_release(root)


@pytest.mark.parametrize(
    "repo", [None, "http://127.0.0.1/a/b", "http://127.0.0.1/a/b/"]
)
def test_the_first_mirror_is_gluons(monkeypatch, repo):
    if repo is None:
        monkeypatch.delenv("MXNET_GLUON_REPO", raising=False)
    else:
        monkeypatch.setenv("MXNET_GLUON_REPO", repo)
    url = _get_repo_file_url("gluon/dataset/fashion-mnist", "x.gz")
    assert download.mirrors() == {
        "2017-08-26": url.removesuffix("x.gz"),
        "2017-08-31": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    }


def test_a_release_is_asked_for_by_its_id(mirrors, root):
    """It lies beside another one, in a folder of its own."""
    first, second = mirrors
    for release, server, other in (
        ("2017-08-31", second, first),
        ("2017-08-26", first, second),
    ):
        other.requests.clear()
        found = data.find_release(root, release)
        assert {file.release for file in found.values()} == {release}
        assert {file.path.parent for file in found.values()} == {root / release}
        assert not other.requests and server.requests
    first.requests.clear()
    assert data.load_fashion_mnist(root, "2017-08-26").release == "2017-08-26"
    assert not first.requests


def test_another_release_than_the_asked_one_is_refused(mirrors, root):
    first, second = mirrors
    first.files = second.files
    with pytest.raises(DataError, match="SHA1 hash .* does not match"):
        data.find_release(root, "2017-08-26")
    assert not contents(root / "2017-08-26")
    with pytest.raises(ValueError, match="release: found '2018', expected 2017-08-26"):
        data.find_release(root, "2018")
