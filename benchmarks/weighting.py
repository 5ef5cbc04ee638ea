"""From steps at a few positions to the mean step of a whole take."""

import itertools
from collections.abc import Mapping, Sequence
from statistics import median


def weights(positions: Sequence[int], steps: int) -> list[float]:
    """How much each position counts in the mean over the steps 0 … `steps` − 1; they sum to 1.

    Between two neighbouring positions a step's time is taken to grow in a straight line, as the cache does that it
    reads; before the first and after the last position the nearest line goes on. `positions` ascend, two at least.
    """
    if len(positions) < 2 or any(later <= earlier for earlier, later in itertools.pairwise(positions)):
        raise ValueError(f"Expected at least two ascending positions, got {list(positions)}")
    result = [0.0] * len(positions)
    for step in range(steps):
        segment = 0
        while segment < len(positions) - 2 and step >= positions[segment + 1]:
            segment += 1
        begin, end = positions[segment], positions[segment + 1]
        share = (step - begin) / (end - begin)
        result[segment] += (1 - share) / steps
        result[segment + 1] += share / steps
    return result


def mean_of_take(times: Mapping[int, Sequence[float]], steps: int) -> float:
    """The mean step of a take of `steps`, from several times at each of some positions: of each the median counts."""
    positions = sorted(times)
    shares = weights(positions, steps)
    return sum(share * median(times[position]) for share, position in zip(shares, positions, strict=True))
