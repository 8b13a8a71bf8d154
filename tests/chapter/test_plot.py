import subprocess
import sys

from d2l_mlp.chapter import plot as plotting
from d2l_mlp.chapter.plot_weights import plot_weights
from d2l_mlp.chapter.results import EpochResult

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from mxnet import nd


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_show_fashion_mnist_draws_each_image_under_its_label():
    images = nd.random.uniform(shape=(9, 1, 28, 28))
    labels = [f"true\npredicted {i}" for i in range(9)]
    assert plotting.show_fashion_mnist(images[0:9], labels[0:9]) is None
    drawn = plt.gcf().axes
    assert [axes.get_title() for axes in drawn] == labels
    for axes, image in zip(drawn, images, strict=True):
        picture = axes.get_images()[0].get_array()
        np.testing.assert_array_equal(picture, image.asnumpy().reshape(28, 28))
        assert not axes.xaxis.get_visible() and not axes.yaxis.get_visible()


def test_one_image_of_any_shape_will_do():
    plotting.show_fashion_mnist([np.zeros(784)], ["bag"])
    assert len(plt.gcf().axes) == 1


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [([], [], "found none"), ([np.zeros(783)], ["bag"], r"found shape \(783,\)")],
)
def test_what_cannot_be_shown_is_named(images, labels, message):
    with pytest.raises(ValueError, match=message):
        plotting.show_fashion_mnist(images, labels)


def test_wrong_predictions_are_marked_by_more_than_colour():
    figure = plotting.plot_predictions(
        np.zeros((2, 784)), ["bag", "coat"], ["bag", "shirt"]
    )
    right, wrong = (axes.title for axes in figure.axes)
    assert right.get_text() == "bag\nbag"
    assert wrong.get_text() == "coat\n✗ shirt"
    assert right.get_color() != wrong.get_color()


def test_curves_hold_the_runs_and_the_books_numbers():
    results = [EpochResult(1, 0.8, 0.7, 0.75, 1.0), EpochResult(2, 0.5, 0.8, 0.85, 1.0)]
    book = [(0.9, 0.6, 0.65)]
    figure = plotting.plot_curves(results, book, "a title")
    lines = {line.get_label(): line for axes in figure.axes for line in axes.lines}
    assert list(lines["test"].get_xdata()) == [1, 2]
    assert list(lines["test"].get_ydata()) == [0.75, 0.85]
    assert list(lines["training loss, the book"].get_ydata()) == [0.9]
    assert len(lines) == 6
    assert len(plotting.plot_curves(results).axes[1].lines) == 2


def test_weights_are_one_picture_a_unit():
    W = nd.random.normal(shape=(784, 20))
    axes = plot_weights(W).axes[0]
    mosaic = axes.get_images()[0].get_array()
    for unit, (row, column) in ((3, (0, 3)), (19, (1, 3))):
        picture = mosaic[30 * row : 30 * row + 30, 30 * column : 30 * column + 30]
        expected = W.asnumpy()[:, unit].reshape(28, 28)
        np.testing.assert_array_equal(np.asarray(picture)[1:-1, 1:-1], expected)
    assert np.isfinite(np.asarray(mosaic)).sum() == 20 * 784
    low, high = axes.get_images()[0].get_clim()
    assert low == -high
    with pytest.raises(ValueError, match="expected \\(784, units\\)"):
        plot_weights(W.T)


def test_set_figsize():
    with matplotlib.rc_context():
        plotting.set_figsize((4, 3))
        assert plt.rcParams["figure.figsize"] == [4, 3]
        plotting.set_figsize()
        assert plt.rcParams["figure.figsize"] == [3.5, 2.5]


def test_pictures_need_no_display(tmp_path):
    script = (
        "import numpy, d2l_mlp as gb; from matplotlib import pyplot\n"
        "gb.use_svg_display()\n"
        "gb.show_fashion_mnist(numpy.ones((2, 784)), ['a', 'b'])\n"
        f"pyplot.savefig({str(tmp_path / 'p.png')!r})"
    )
    environment = {"PATH": "", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_the_books_numbers_may_come_from_a_generator():
    results = [EpochResult(1, 0.8, 0.7, 0.75, 1.0)]
    figure = plotting.plot_curves(results, iter([(0.9, 0.6, 0.65)]))
    assert len(figure.axes[0].lines) == 2
