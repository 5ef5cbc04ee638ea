"""How many bytes a second the memory gives to two threads that only read.

A float32 array far larger than any cache is summed: vectorised additions, a contiguous half for each thread,
no writing. The first pass compiles and touches the pages; then each pass is timed.

python -m benchmarks.bandwidth
"""

import argparse
import json
import time

import numba
import numpy as np

GIGABYTES = 1.5  # of the array
PASSES = 9


@numba.njit(parallel=True, fastmath=True)
def total(values):
    result = np.float32(0)
    for i in numba.prange(values.size):
        result += values[i]
    return result


parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--gigabytes", type=float, default=GIGABYTES)
options = parser.parse_args()

numba.set_num_threads(min(options.threads, numba.config.NUMBA_NUM_THREADS))
values = np.ones(int(options.gigabytes * 1e9) // 4, np.float32)
total(values)
seconds = []
for _ in range(PASSES):
    started = time.perf_counter()
    total(values)
    seconds.append(time.perf_counter() - started)
print(json.dumps({"gb_s": [values.nbytes / 1e9 / each for each in seconds], "threads": numba.get_num_threads()}))
