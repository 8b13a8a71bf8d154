"""Trained parameters saved, and pictures given to them, from the command line."""

import io

from d2l_mlp.chapter import model as models
from d2l_mlp.runs import params as params_file

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_cli import run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    for kind, options in (("plain", []), ("gluon", ["--gluon"])):
        done = run(
            "book", "--num-epochs", 2, "--num-hiddens", "64,32", *options,
            "--save", folder / f"{kind}.net", "--output", folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert f"wrote {folder}/{kind}.net" in done.stdout
    return folder


@pytest.mark.parametrize("kind", ["plain", "gluon"])
def test_saved_parameters_know_clothes(trained, fashion_mnist, tmp_path, kind):
    paths = []
    for i, label in ((2, "trouser"), (0, "ankle boot")):
        paths.append(tmp_path / f"{label}.png")
        # As one would photograph it: larger, and dark on light.
        picture = Image.fromarray(255 - fashion_mnist.test_images[i, :, :, 0])
        picture.resize((280, 280)).save(paths[-1])
    done = run("predict", *paths, "--params", trained / f"{kind}.net", "--top", 2)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert f"{paths[0]}: trouser " in lines[0] and lines[0].count("%") == 2
    assert f"{paths[1]}: ankle boot " in lines[1]


def test_a_picture_that_is_none_does_not_keep_others_from_their_answer(
    trained, tmp_path, fashion_mnist
):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(fashion_mnist.test_images[2, :, :, 0]).save(good)
    bad.write_text("no picture")
    done = run("predict", bad, tmp_path / "none.png", good, "--params",
               trained / "plain.net")  # fmt: skip
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "bad.png: picture: found 10 bytes of another format" in lines[0]
    assert "No such file" in lines[1]
    assert "good.png: trouser" in lines[2]
    assert "Traceback" not in done.stderr


def test_what_was_saved_is_loaded_bit_for_bit(tmp_path):
    params = models.init_params((8, 6))
    params_file.save_params(params, tmp_path / "params.safetensors")
    loaded = params_file.load_arrays(tmp_path / "params.safetensors")
    for param, array in zip(params, loaded, strict=True):
        np.testing.assert_array_equal(param.asnumpy(), array)
    assert list(tmp_path.iterdir()) == [tmp_path / "params.safetensors"]
    image = np.zeros((28, 28), np.uint8)
    assert models.predict(image, loaded).shape == (10,)


def test_parameters_of_another_dtype_are_saved_as_float32(tmp_path):
    params = [param.astype("float64") for param in models.init_params(8)]
    params_file.save_params(params, tmp_path / "params")
    for param, array in zip(
        params, params_file.load_arrays(tmp_path / "params"), strict=True
    ):
        np.testing.assert_array_equal(param.asnumpy().astype("f"), array)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "params.safetensors"
    params_file.save_params(models.init_params(8), path)
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        params_file.save_params(models.init_params(4), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def packed(**arrays):
    return safetensors.numpy.save(arrays)


def zipped(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


GOOD = {"W1": np.zeros((784, 10), "f"), "b1": np.zeros(10, "f")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no safetensors file"),
        (b"diary", "found no safetensors file"),
        (packed(), "found nothing, expected W1"),
        (packed(W1=GOOD["W1"]), "found W1, expected W1, b1"),
        (packed(**GOOD, x=np.zeros(1)), "found W1, b1, x"),
        (packed(**GOOD | {"b1": np.zeros(9, "f")}), "found shapes"),
        (packed(**GOOD | {"W1": np.zeros((10, 784), "f")}), "found shapes"),
        (packed(**GOOD | {"W1": np.zeros((784, 10), "i")}), "found shapes"),
        (packed(**GOOD | {"b1": np.full(10, np.nan, "f")}), "found NaN or infinity"),
        (packed(**GOOD | {"b1": np.full(10, 1e300)}), "of F32, F64, expected W1"),
        (
            packed(
                W1=np.zeros((784, 0), "f"),
                b1=np.zeros(0, "f"),
                W2=np.zeros((0, 10), "f"),
                b2=np.zeros(10, "f"),
            ),
            "found shapes",
        ),
        (zipped(**GOOD), "found a zip file.*: make it anew with book --save"),
        (packed(**GOOD)[:2000], "found no safetensors file"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, message):
    path = tmp_path / "params.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        params_file.load_arrays(path)
    assert str(path) in str(error.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_refused_or_whole(tmp_path, data):
    content = bytearray(packed(**GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(
            st.integers(1, 255)
        )
    path = tmp_path / "params.safetensors"
    path.write_bytes(content)
    try:
        arrays = params_file.load_arrays(path)
    except ValueError:
        return
    assert [array.shape for array in arrays] == [(784, 10), (10,)]
