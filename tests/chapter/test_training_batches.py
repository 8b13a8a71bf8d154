"""What is told of each batch, and the learning rate that it is given."""

import d2l_mlp as gb
from d2l_mlp.chapter import model as models

import numpy as np
import pytest
from test_train import batches, loss


@pytest.mark.parametrize("hybridize", [False, True, "auto"])
def test_a_schedule_gives_the_rate_of_each_update(hybridize):
    """As two runs of one epoch at a rate each do, from the same start."""
    train_iter = batches(n=70)
    ends, asked = [], []

    def schedule(num_update):
        asked.append(num_update)
        return 0.1 if num_update < 3 else 0.02

    for lr in (None, schedule):
        gb.seed_everything(4)
        params = models.init_params(8)
        net = models.make_net(params)
        options = {"hybridize": hybridize}
        rest = (net, train_iter, train_iter, loss)
        if lr is None:
            for rate in (0.1, 0.02):
                list(gb.train_epochs(*rest, 1, 32, params, rate, **options))
        else:
            list(gb.train_epochs(*rest, 2, 32, params, lr, **options))
        ends.append([param.asnumpy() for param in params])
    for first, second in zip(*ends, strict=True):
        np.testing.assert_array_equal(first, second)
    assert asked == [0, 0, 1, 2, 3, 4, 5], "the first sets up the step"


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), "fast"])
def test_a_schedules_rates_are_checked(rate):
    params = models.init_params(8)
    arguments = (models.make_net(params), batches(), batches(), loss, 1, 32, params)
    with pytest.raises(ValueError, match="lr: found .* expected a finite number above"):
        list(gb.train_epochs(*arguments, lambda n: 0.1 if n < 1 else rate))


@pytest.mark.parametrize("hybridize", [False, True])
def test_each_batch_is_told_of(hybridize):
    told = []
    params = models.init_params(8)
    results = gb.train_epochs(
        models.make_net(params), batches(n=70), batches(), loss, 2, 32, params, 0.1,
        hybridize=hybridize, on_batch=told.append,
    )  # fmt: skip
    for result in results:
        mine = [t for t in told if t.epoch == result.epoch]
        assert [t.batch for t in mine] == [1, 2, 3]
        losses, correct, sizes = result.batches.T
        assert [t.loss for t in mine] == pytest.approx((losses / sizes).tolist())
        assert [t.accuracy for t in mine] == pytest.approx((correct / sizes).tolist())
        assert {t.lr for t in mine} == {0.1}


@pytest.mark.parametrize("hybridize", [False, True])
def test_params_can_be_brought_up_to_date_within_an_epoch(hybridize):
    """After two of three batches, as the plain loop has them then."""
    ends = []

    def keep(batch):
        if batch.batch == 2:
            batch.sync()
            ends.append([param.asnumpy() for param in params])

    for graph in (False, hybridize):
        gb.seed_everything(4)
        params = models.init_params((8, 6))
        list(
            gb.train_epochs(
                models.make_net(params), batches(n=70), batches(), loss, 1, 32, params,
                0.1, hybridize=graph, on_batch=keep,
            )
        )  # fmt: skip
    for first, second in zip(*ends, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("hybridize", [False, True])
def test_what_is_told_of_a_batch_may_end_the_training(hybridize):
    class Enough(Exception):
        pass

    def stop(batch):
        if batch.batch == 2:
            raise Enough

    train_iter = batches(n=70)
    ends = []
    for on_batch, kept in ((stop, train_iter), (None, list(train_iter)[:2])):
        gb.seed_everything(4)
        params = models.init_params(8)
        run = gb.train_epochs(
            models.make_net(params), kept, train_iter, loss, 1, 32, params, 0.1,
            hybridize=hybridize, on_batch=on_batch,
        )  # fmt: skip
        if on_batch:
            with pytest.raises(Enough):
                list(run)
        else:
            list(run)
        ends.append([param.asnumpy() for param in params])
    for first, second in zip(*ends, strict=True):
        np.testing.assert_array_equal(first, second)
