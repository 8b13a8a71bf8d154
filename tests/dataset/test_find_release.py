"""Where the data is looked for, and what is done with what is found."""

from d2l_mlp.dataset import fashion_mnist as data
from d2l_mlp.dataset.fashion_mnist import load_data_fashion_mnist
from d2l_mlp.dataset.releases import FILES, DataError

import mxnet as mx
import numpy as np
import pytest
from folders import fill


def found_in(root=None):
    """Return the folder and the release of what is found for ``root``."""
    file = data.find_release(root)[FILES[0]]
    return file.path.parent, file.release


def test_root_then_debian_then_download(mirrors, made, tmp_path):
    first, second = mirrors
    root, debian = tmp_path / "root", tmp_path / "debian"
    assert found_in(root) == (root, "2017-08-26") and len(first.requests) == 4

    fill(debian, made["2017-08-31"])
    with pytest.warns(UserWarning, match="none: found 0 of the four .*; using"):
        assert found_in(tmp_path / "none") == (debian, "2017-08-31")
    assert not (tmp_path / "none").exists()

    assert found_in(str(root)) == (root, "2017-08-26")
    train_iter, test_iter = load_data_fashion_mnist(7, root=root)
    assert train_iter.release == test_iter.release == "2017-08-26"
    assert (len(train_iter), len(test_iter)) == (9, 3)
    assert len(first.requests) == 4 and not second.requests


def test_a_damaged_root_is_told_and_debian_serves(mirrors, made, tmp_path):
    fill(tmp_path / "debian", made["2017-08-31"])
    fill(tmp_path / "root", made["2017-08-26"] | {FILES[0]: b"damaged"})
    with pytest.warns(UserWarning, match=f"damaged data file: .*{FILES[0]}"):
        assert found_in(tmp_path / "root") == (tmp_path / "debian", "2017-08-31")


def test_mixed_releases_are_not_loaded(mirrors, made, tmp_path):
    for mirror in mirrors:
        mirror.files = {}
    fill(
        tmp_path / "root", made["2017-08-31"] | {FILES[3]: made["2017-08-26"][FILES[3]]}
    )
    with pytest.raises(DataError) as caught:
        data.load_fashion_mnist(tmp_path / "root")
    finding = "found 4 of the four files, of 2017-08-26 and 2017-08-31"
    assert f"{tmp_path / 'root'}: {finding}" in str(caught.value)


def test_splits_and_labels_are_not_mixed_up(mirrors, tmp_path):
    found = data.load_fashion_mnist(tmp_path / "root")
    assert found.train_images.shape == (60, 28, 28, 1)
    assert found.test_images.shape == (20, 28, 28, 1)
    for labels, n in ((found.train_labels, 60), (found.test_labels, 20)):
        assert labels.shape == (n,) and labels.dtype == np.int32
        assert np.bincount(labels).tolist() == [n // 10] * 10


def test_default_root_is_gluons(monkeypatch, tmp_path):
    monkeypatch.delenv("MXNET_HOME", raising=False)
    default = data.default_root()
    assert str(default) == f"{mx.base.data_dir_default()}/datasets/fashion-mnist"
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    assert str(data.default_root()) == f"{mx.base.data_dir()}/datasets/fashion-mnist"
    assert data.default_root() == tmp_path / "datasets" / "fashion-mnist"


def test_default_root_is_used(mirrors, tmp_path):
    assert found_in()[0] == tmp_path / "mxnet" / "datasets" / "fashion-mnist"


def test_home_is_understood(mirrors, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert found_in("~/data")[0] == tmp_path / "home" / "data"
