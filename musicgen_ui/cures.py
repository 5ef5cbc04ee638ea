"""Cures for what MindNLP 0.5.1 (with MindSpore 2.7.0 and transformers 4.57.6) gets wrong on MusicGen's path.

Each function below is one cure: its cause, and what happens without it. tests/engine/test_cures.py fails
without each. Look at all of them again when MindNLP leaves 0.5.1. Nothing in site-packages is edited.

MindNLP must be imported before transformers; importing this module does that, in the right order.
"""

import ctypes
import functools
import os
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

# mindnlp/__init__.py points HF_ENDPOINT at a mirror wherever it is unset. The user's choice, else the main hub, stands.
os.environ.setdefault("HF_ENDPOINT", "https://huggingface.co")
# stderr belongs to our own sentences: no notices and progress bars of the libraries.
for _name, _value in (
    ("GLOG_v", "3"),
    ("DIFFUSERS_VERBOSITY", "error"),
    ("TRANSFORMERS_VERBOSITY", "error"),
    ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
):
    os.environ.setdefault(_name, _value)

# mindnlp/__init__.py imports all of diffusers, of which MusicGen needs nothing. Without this empty module in its place
# every start takes 1.3 s more, and where onnxruntime is installed none succeeds: diffusers 0.35 then looks for
# pipelines that it no longer has.
sys.modules.setdefault("mindnlp.diffusers", types.ModuleType("mindnlp.diffusers"))

# transformers imports scikit-learn, and with it scipy.stats and pandas, for a way of decoding that nobody uses here:
# 0.9 s and 68 MB of every start. While it is imported, none is there; librosa finds it afterwards.
sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]

import mindspore
import mindnlp  # noqa: F401  (registers mindtorch as torch; before transformers)
import mindtorch
import numpy as np
from mindnlp.transformers import MusicgenMelodyForConditionalGeneration
from mindtorch._apis import cpu as cpu_api
from mindtorch._op_prim.cpu import legacy as cpu_kernels

from musicgen_ui.decoding.sampling import draw
from musicgen_ui.processors import processors

if sys.modules["sklearn"] is None:
    del sys.modules["sklearn"]

_generators: ContextVar[Sequence[np.random.Generator] | None] = ContextVar("generators", default=None)


@functools.cache
def apply(*, in_one_thread: bool = True) -> None:
    """Applies every cure that is not the matter of one model: once in a process, before a model is made.

    in_one_thread: not where graphs of large models are the process's main work (`compute_in_the_callers_thread`).
    """
    if on_cpu():
        launch_synchronously()
        if in_one_thread:
            compute_in_the_callers_thread()
        multiply_by_matmul_in_linear_layers()
        take_logarithms_with_numpy()
    promote_booleans_in_products()
    sample_with_numpy()


def on_cpu() -> bool:
    """Whether MindSpore runs on the processor, where most of these faults are."""
    return mindspore.get_context("device_target") == "CPU"


def launch_synchronously() -> None:
    """Cause: MindSpore's asynchronous dispatch threads compete with the kernels for few cores.

    Without it every step is 5 to 20 times slower. Compiled graphs would still be handed to another thread while the
    caller spins, which takes a core from the kernels: on two cores 10 s of nano took 4.0 s, and in the caller's
    thread 2.9 s.
    """
    mindspore.runtime.launch_blocking()
    os.environ.setdefault("MS_DEV_HOST_BLOCKING_RUN", "1")  # read at the first operation


def compute_in_the_callers_thread() -> None:
    """Cause: MindSpore hands what is worth sharing to two threads of its own at least, for which the caller spins, as
    they do for what comes next (sched_yield). On two processors that is one too many.

    Without it whatever else runs takes most of the time: beside one busy process 10 s of nano took 7.5 s instead of
    2.3 by float32, 20 tokens 10.1 s instead of 1.3 by MindNLP's own loop; alone 1.9 s instead of 1.6. A graph of
    musicgen-small alone, though, has a step in 155 ms by two threads, and in 310 by one.

    Has to come before the first operation. Python can't set it (`op_tuning.threads_num` counts beyond those two), so
    the pool is made as MindSpore's C++ makes it, with one thread: its actors'. On more processors, and where the
    library doesn't have that function by that name, all stays as it is.
    """
    if processors() > 2:
        return
    with suppress(OSError, AttributeError, ValueError):
        core = ctypes.CDLL(str(Path(mindspore.__file__).with_name("lib") / "libmindspore_core.so"))
        manager = ctypes.c_char.in_dll(core, "_ZN9mindspore8ActorMgr8actorMgrE")
        initialize = core._ZN9mindspore8ActorMgr10InitializeEbmmmRKSt6vectorIiSaIiEE
        initialize.argtypes = (ctypes.c_void_p, ctypes.c_bool, *[ctypes.c_size_t] * 3, ctypes.c_void_p)
        own_pool, actor_threads, threads, queue, no_cores = True, 1, 1, 8192, (ctypes.c_void_p * 3)()
        initialize(ctypes.byref(manager), own_pool, actor_threads, threads, queue, ctypes.byref(no_cores))


def multiply_by_matmul_in_linear_layers() -> None:
    """Cause: `mindtorch._apis.cpu.dense` calls the CPU kernel `Dense`, 20 to 50 times slower than `MatMul`.

    MatMul rounds one row, 2 to 15 rows, and 16 or more differently where there is AVX-512. Where there isn't, it takes
    six at a time, or six of each half, and the last one, two or three that are left round differently; and many rows
    of what is wide another way. A take must not depend on how many others share its batch, so one decoding step
    (sequence length 1) always uses 4 or 12 rows, a whole sequence a multiple of 24, up to 144
    where more than 256 come out. Measured with two processors, up to 120,000 rows.
    """

    def times(rows, weight):
        return cpu_kernels.mat_mul(rows, weight, False, True)

    def part(rows, begin, end):
        return cpu_kernels.slice(rows, (begin, 0), (end - begin, rows.shape[1]))

    def product(rows, weight, at_least, unit, at_most):
        count = rows.shape[0]
        if count > at_most:
            middle = count // 2
            halves = (part(rows, 0, middle), part(rows, middle, count))
            return cpu_kernels.concat(tuple(product(half, weight, at_least, unit, at_most) for half in halves), 0)
        enough = at_least if count <= at_least else -(-count // unit) * unit
        if enough == count:
            return times(rows, weight)
        copies, rest = divmod(enough - count, count)
        added = (rows,) * copies + ((part(rows, 0, rest),) if rest else ())
        return part(times(cpu_kernels.concat((rows, *added), 0), weight), 0, count)

    def dense(input, weight, bias=None):
        rows = input if input.ndim == 2 else cpu_kernels.reshape(input, (-1, input.shape[-1]))
        one_step = input.ndim < 3 or input.shape[-2] == 1
        kind = (4, 12, 12) if one_step else (24, 24, 144 if weight.shape[0] > 256 else sys.maxsize)
        result = product(rows, weight, *kind)
        if bias is not None:
            result = cpu_kernels.bias_add(result, bias, "NCHW")
        return result if input.ndim == 2 else cpu_kernels.reshape(result, (*input.shape[:-1], weight.shape[0]))

    cpu_api.dense = dense


def take_logarithms_with_numpy() -> None:
    """Cause: MindSpore's CPU kernel `Log`, which `mindtorch._apis.cpu.log` calls, gives log 2 short by 1.8e-7.

    T5 numbers the distances between tokens by logarithms rounded down (`_relative_position_bucket`). Without it the
    distances 16, 32 and 64 fall one short: no error, but a description of more than 16 tokens is read differently.
    """

    def log(input):
        values = input.asnumpy()
        if not np.issubdtype(values.dtype, np.floating):
            values = values.astype(np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):  # as torch: −inf and nan without a word
            return mindtorch.tensor(np.log(values), device=input.device)

    cpu_api.log = log


def promote_booleans_in_products() -> None:
    """Cause: `mul` in mindtorch/ops/pointwise.py takes the smaller of two dtypes, so bool × int is bool.

    Without it the delay pattern mask is boolean and `generate` dies in Gather.
    """
    product = mindtorch.ops.mul

    def mul(input, other):
        if isinstance(other, mindspore.Tensor) and input.dtype == mindtorch.bool and other.dtype != mindtorch.bool:
            input = input.to(other.dtype)
        return product(input, other)

    mindtorch.ops.mul = mindtorch.mul = mul


def sample_with_numpy() -> None:
    """Cause: mindtorch/_apis/cpu.py draws without looking at the generator, so that no seed has any effect.

    Within `drawing_from` rows are drawn by inverse transform from numpy's generators instead.
    """
    multinomial_of_mindtorch = mindtorch.multinomial

    def multinomial(input, num_samples, replacement=False, *, generator=None, out=None):
        generators = _generators.get()
        if generators is None:
            return multinomial_of_mindtorch(input, num_samples, replacement, generator=generator, out=out)
        drawn = draw(input.asnumpy(), generators)  # (rows,)
        return mindtorch.tensor(drawn[:, None], device=input.device)

    mindtorch.multinomial = multinomial


@contextmanager
def drawing_from(generators: Sequence[np.random.Generator]) -> Iterator[None]:
    """Within this context `torch.multinomial` draws from `generators`, one for each take of the batch."""
    token = _generators.set(generators)
    try:
        yield
    finally:
        _generators.reset(token)


def point_lstms_at_their_weights(model: mindtorch.nn.Module) -> None:
    """Cause: `LSTM` in mindtorch/nn/modules/rnn.py keeps lists of the Parameters that it was made with;
    `from_pretrained` puts others in their place.

    Without it EnCodec's LSTMs run on uninitialised weights: no error, wrong sound. Call it after loading.
    """
    for module in model.modules():
        if isinstance(module, mindtorch.nn.LSTM):
            layers = range(module.num_layers)
            module.w_ih_list = [getattr(module, f"weight_ih_l{layer}") for layer in layers]
            module.w_hh_list = [getattr(module, f"weight_hh_l{layer}") for layer in layers]
            module.b_ih_list = [getattr(module, f"bias_ih_l{layer}") for layer in layers]
            module.b_hh_list = [getattr(module, f"bias_hh_l{layer}") for layer in layers]


class MelodyModel(MusicgenMelodyForConditionalGeneration):
    """Cause: `prepare_inputs_for_generation` of transformers 4.57's modeling_musicgen_melody.py drops the
    conditioning as soon as there is a cache, and now there is one before the first step (upstream #45647).

    Without it melody checkpoints ignore text, melody and guidance: no error, other music.
    """

    def prepare_inputs_for_generation(self, decoder_input_ids, past_key_values=None, **kwargs):
        first_step = past_key_values is not None and past_key_values.get_seq_length() == 0
        inputs = super().prepare_inputs_for_generation(
            decoder_input_ids, past_key_values=None if first_step else past_key_values, **kwargs
        )
        if first_step:
            inputs["past_key_values"] = past_key_values
        return inputs
