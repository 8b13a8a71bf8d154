"""Pictures as the training images are, and nothing worse than a clear refusal."""

import io

from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import photo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet import nd
from pictures import bar, encode, png_header
from PIL import Image, ImageFile


@pytest.mark.parametrize(("background", "ink"), [(255, 0), (0, 255), (200, 90)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_the_object_is_light_on_dark_and_centred(background, ink, kind):
    image = photo.to_image(encode(bar(background, ink), kind))
    assert image.shape == (28, 28) and image.dtype == np.uint8
    # 220 by 40 pixels become 28 by 5, in the middle.
    assert (image[:, :11] < 40).all() and (image[:, 17:] < 40).all()
    assert (image[1:27, 12:15] > 215).all()


@given(st.integers(0, 150), st.integers(0, 100), st.integers(1, 4))
def test_where_it_lies_and_how_large_it_is_does_not_matter(top, left, scale):
    pixels = np.full((800, 600), 255, np.uint8)
    pixels[top : top + 80 * scale, left : left + 40 * scale] = 0
    image = photo.to_image(encode(pixels)).astype(int)
    expected = np.zeros((28, 28), int)
    expected[:, 7:21] = 255
    assert np.abs(image - expected).mean() < 20


def test_what_is_transparent_is_background():
    pixels = np.zeros((100, 100, 4), np.uint8)
    pixels[20:80, 40:60] = (10, 10, 10, 255)
    image = photo.to_image(encode(pixels))
    assert image[14, 14] > 215 and image[14, 2] == 0


def test_a_photo_held_sideways_is_turned():
    picture = Image.fromarray(bar())
    exif = picture.getexif()
    exif[274] = 6
    stream = io.BytesIO()
    picture.save(stream, "JPEG", exif=exif)
    image = photo.to_image(stream.getvalue())
    assert (image[12:15, 2:26] > 200).all() and (image[:9] < 60).all()


def test_a_training_image_that_fills_its_square_stays_as_it_is(fashion_mnist):
    found = 0
    for image in fashion_mnist.train_images[:3000, :, :, 0]:
        seen = image > photo.CONTRAST
        edges = seen[0], seen[-1], seen[:, 0], seen[:, -1]
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        if all(edge.any() for edge in edges) and np.median(border) == 0:
            again = photo.to_image(encode(image)).astype(float)
            np.testing.assert_allclose(again, image * (255 / image.max()), atol=1)
            found += 1
    assert found > 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found 0 bytes of another format"),
        (b"<svg/>", "found 6 bytes of another format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "picture: found"),
        (encode(bar())[:60], "a damaged file"),
        (png_header(4001, 2000), "found too many pixels"),
        (png_header(60000, 60000), "found too many pixels, expected at most"),
        (png_header(2**31 - 1, 2**31 - 1), "found too many pixels"),
        (encode(np.full((50, 50), 255, np.uint8)), "found one colour"),
        (bytes(photo.MOST_BYTES + 1), "expected at most 8000000"),
        (encode(bar(), "TIFF"), "of another format"),
    ],
)
def test_what_cannot_be_taken_on_is_refused(content, message, monkeypatch):
    # GluonCV has Pillow fill up what is cut off, in the whole process.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    with pytest.raises(photo.PhotoError, match=message):
        photo.to_image(content)


GOOD = [encode(bar(), kind) for kind in photo.FORMATS]


@given(st.sampled_from(GOOD), st.data())
def test_a_damaged_file_gives_a_picture_or_a_refusal(content, data):
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        assert photo.to_image(bytes(content)).shape == (28, 28)
    except photo.PhotoError as error:
        assert str(error).startswith("picture: found")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_taken(content):
    try:
        photo.to_image(content)
    except photo.PhotoError as error:
        assert str(error).startswith("picture: found")


def test_probabilities_are_the_nets(fashion_mnist):
    params = models.init_params((32,), scale=0.1)
    image = fashion_mnist.test_images[0, :, :, 0]
    found = models.predict(image, [param.asnumpy() for param in params])
    X = nd.array(image.reshape(1, 1, 28, 28) / np.float32(255))
    np.testing.assert_allclose(
        found, models.make_net(params)(X).softmax().asnumpy()[0], rtol=1e-5
    )
    assert found.sum() == pytest.approx(1, abs=1e-5)
