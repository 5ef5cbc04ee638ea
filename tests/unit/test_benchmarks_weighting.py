"""The mean step of a take, from steps at a few positions."""

import pytest

from benchmarks.weighting import mean_of_take, weights

POSITIONS = (16, 250, 490)


def test_weights_sum_to_one():
    assert sum(weights(POSITIONS, 500)) == pytest.approx(1)
    assert weights(POSITIONS, 500)[1] == max(weights(POSITIONS, 500))


def test_a_straight_line_has_the_mean_of_its_middle():
    times = {position: [30 + 0.05 * position] for position in POSITIONS}
    assert mean_of_take(times, 500) == pytest.approx(30 + 0.05 * 249.5)


def test_steps_that_grow_faster_later_are_followed():
    times = {16: [10.0], 250: [10.0], 490: [34.0]}  # flat, then 0.1 a step
    expected = (250 * 10 + sum(10 + 0.1 * (step - 250) for step in range(250, 500))) / 500
    assert mean_of_take(times, 500) == pytest.approx(expected)


def test_one_slow_step_does_not_count():
    steady = {position: [20.0, 20.0, 20.0] for position in POSITIONS}
    assert mean_of_take(steady | {250: [20.0, 900.0, 20.0]}, 500) == pytest.approx(mean_of_take(steady, 500))


@pytest.mark.parametrize("positions", [(16,), (250, 16), (16, 16)])
def test_positions_must_ascend(positions):
    with pytest.raises(ValueError, match="ascending"):
        weights(positions, 500)
