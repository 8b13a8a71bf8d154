"""The statistics against draws whose distribution is known."""

from d2l_mlp.book import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

EPOCHS = 10
SD = np.array([0.004, 0.0015, 0.006])


def draws(n, seed, shift=0.0, heavy=False):
    """Return curves whose numbers hang together, as those of a run do."""
    random = np.random.RandomState(seed)
    level = random.standard_normal((n, 1, 3))
    noise = random.standard_normal((n, EPOCHS, 3))
    if heavy:
        noise = random.standard_t(2, (n, EPOCHS, 3))
    return 0.8 + SD * (0.7 * level + 0.7 * noise + shift)


@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "heavy tails"])
@pytest.mark.parametrize("n", [39, 99])
def test_one_more_draw_is_rejected_at_the_nominal_rate(n, heavy):
    """Whatever the distribution; 5 % of 800, give or take three standard errors."""
    for name in ("p_value", "p_value_max", "p_value_mean"):
        p_values = []
        for seed in range(800):
            curves = draws(n + 1, seed, heavy=heavy)
            p_values.append(getattr(statistics.judge(curves[1:], curves[0]), name))
        rate = np.mean(np.array(p_values) <= 0.05)
        assert abs(rate - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / 800)
        # Every rank is as likely.
        assert stats.kstest(p_values, "uniform").pvalue > 0.001


def is_rejected(runs, book):
    return statistics.judge(runs, book).outcome == "rejected"


def test_a_small_lean_all_the_way_is_seen_by_the_means():
    """Of 0.9 standard deviations, which a single number does not show."""
    random = np.random.RandomState(0)
    runs, books = (0.8 + SD * random.standard_normal((n, 10, 3)) for n in (99, 200))
    tests = [statistics.judge(runs, book + 0.9 * SD) for book in books]
    by_means = np.mean([test.p_value_mean <= 0.05 for test in tests])
    by_numbers = np.mean([test.p_value_max <= 0.05 for test in tests])
    assert by_means > by_numbers + 0.3


def test_a_shifted_curve_is_rejected_with_power():
    book = draws(200, 1, shift=3.0)
    runs = draws(60, 2)
    rejected = [is_rejected(runs, curve) for curve in book]
    assert np.mean(rejected) > 0.95
    assert np.mean([is_rejected(runs, c) for c in draws(200, 3)]) < 0.12


def test_the_p_value_is_a_rank_that_cannot_fall_below_its_bound():
    runs = draws(30, 0)
    test = statistics.judge(runs, runs.mean(axis=0) + 100 * SD)
    assert test.p_value == test.p_value_max == pytest.approx(1 / 31)
    assert test.num_runs == 30
    middle = statistics.judge(runs, runs.mean(axis=0))
    assert middle.p_value == middle.p_value_mean == 1.0
    assert middle.mean_z == pytest.approx(
        dict.fromkeys(statistics.COLUMNS, 0), abs=1e-9
    )


def test_z_is_by_all_the_others():
    """Held against mean and standard deviation by hand, for the book and a run."""
    runs, book = draws(12, 4), draws(1, 5)[0]
    test = statistics.judge(runs, book)
    z = (book - runs.mean(axis=0)) / runs.std(axis=0, ddof=1)
    assert test.rms_z == pytest.approx(np.sqrt((z**2).mean()))
    assert test.max_z == pytest.approx(np.abs(z).max())
    means = runs.mean(axis=1)
    z = (book.mean(axis=0) - means.mean(axis=0)) / means.std(axis=0, ddof=1)
    assert list(test.mean_z.values()) == pytest.approx(z.tolist())
    curves = np.concatenate([runs, book[None]])
    others = np.delete(curves, 3, axis=0)
    expected = (curves[3] - others.mean(axis=0)) / others.std(axis=0, ddof=1)
    found = statistics._leave_one_out_z(curves)[3]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_cells_hold_the_prediction_interval_for_one_more_run():
    """It holds 95 % of further draws, and is scipy's interval for them."""
    runs = draws(25, 6)
    table = statistics.cells(runs, draws(1, 7)[0])
    assert table.index[0] == (1, "train_loss") and len(table) == 3 * EPOCHS
    cell = table.loc[(4, "test_accuracy")]
    values = runs[:, 3, 2]
    low, high = stats.t.interval(
        0.95, 24, values.mean(), values.std(ddof=1) * np.sqrt(1 + 1 / 25)
    )
    assert [cell["low"], cell["high"]] == pytest.approx([low, high])
    assert cell["inside"] == (low <= cell["book"] <= high)
    rates = []
    for seed in range(300):
        curves = draws(26, seed)
        rates.append(statistics.cells(curves[1:], curves[0])["inside"].mean())
    assert abs(np.mean(rates) - 0.95) < 0.01


def test_numbers_that_never_change_are_no_reason_to_reject():
    """Rounded to the printed digits, a number may be the same in all runs."""
    runs = np.full((30, 2, 3), 0.8)
    test = statistics.judge(runs, runs[0])
    assert test.p_value == 1.0 and test.max_z == 0
    table = statistics.cells(runs, runs[0])
    assert table["inside"].all() and np.isfinite(table["z"]).all()


@settings(max_examples=50)
@given(st.integers(3, 40), st.integers(0, 1000), st.integers(0, 39))
def test_the_order_of_the_runs_does_not_matter(n, seed, k):
    curves = draws(n + 1, seed)
    first = statistics.judge(curves[1:], curves[0])
    second = statistics.judge(np.roll(curves[1:], k, axis=0), curves[0])
    assert first.p_value == second.p_value
    assert first.p_value == pytest.approx(round(first.p_value * (n + 1)) / (n + 1))


def test_false_alarms_are_near_the_level_or_show_that_they_are_not(monkeypatch):
    def too_strict(runs, book):
        found = original(runs, book)
        return statistics.CurveTest(**vars(found) | {"p_value": found.p_value / 4})

    runs, original = draws(100, 9), statistics.judge
    groups = [[runs, runs[:, :5]], [draws(100, 10)]]
    assert statistics.false_alarms(groups) <= 0.08
    monkeypatch.setattr(statistics, "judge", too_strict)
    assert statistics.false_alarms(groups) > 0.12


@pytest.mark.parametrize(("n", "enough"), [(3, False), (23, False), (24, True)])
def test_too_few_runs_have_no_false_alarms(n, enough):
    assert (statistics.false_alarms([[draws(n, 8)]]) is not None) == enough


def test_together_small_p_values_grow_smaller():
    tests = [statistics.judge(draws(60, s), draws(1, 1, shift=1.2)[0]) for s in (0, 1)]
    combined = statistics.combine(tests)
    assert combined < min(test.p_value for test in tests)
    assert combined == pytest.approx(
        stats.chi2.sf(-2 * sum(np.log(test.p_value) for test in tests), 4)
    )


def test_a_difference_without_spread_is_as_it_is():
    """As of runs that learn nothing."""
    for second, p_value in ((0.1, 1), (0.2, 0)):
        found = statistics.difference(np.full(3, 0.1), np.full(3, second))
        assert found.low == found.high == found.difference
        assert found.difference == pytest.approx(second - 0.1)
        assert found.p_value == p_value


def test_a_difference_has_its_interval():
    random = np.random.RandomState(0)
    covered = 0
    for _ in range(400):
        first, second = random.normal(0, 1, 30), random.normal(0.5, 2, 20)
        effect = statistics.difference(first, second)
        assert effect.low < effect.difference < effect.high
        covered += effect.low < 0.5 < effect.high
    assert abs(covered / 400 - 0.95) < 0.04
    assert effect.difference == pytest.approx(second.mean() - first.mean())


def test_as_printed_has_the_books_digits():
    printed = statistics.as_printed(np.array([[0.123456, 0.87654, 0.8125]]))
    assert printed.tolist() == [[0.1235, 0.877, 0.812]]
    # As "%.3f" has every test accuracy that there can be.
    accuracies = np.arange(10001) / 10000
    found = statistics.as_printed(np.stack([accuracies] * 3, axis=1))[:, 2]
    assert found.tolist() == [float(f"{accuracy:.3f}") for accuracy in accuracies]


@pytest.mark.parametrize(
    ("runs", "book", "message"),
    [
        (draws(2, 0), draws(1, 0)[0], "found 2, expected at least 3"),
        (draws(9, 0), draws(1, 0)[0, :4], "beside a curve"),
        (draws(9, 0)[..., :2], draws(1, 0)[0, :, :2], "expected .runs, epochs, 3."),
        (draws(9, 0) * np.nan, draws(1, 0)[0], "found NaN"),
    ],
)
def test_what_does_not_fit_is_refused(runs, book, message):
    for function in (statistics.judge, statistics.cells):
        with pytest.raises(ValueError, match=message):
            function(runs, book)
