"""Each cure of musicgen_ui/cures.py, by what it cures: without the cure its test fails."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musicgen_ui.request import Clip, Settings
from tests.reference.cases import PROMPTS, SAMPLING_RATE, tune

GREEDY = Settings(max_new_tokens=8, do_sample=False)
SHAPES, STEPS = ((320, 512), (192, 512), (64, 320), (32, 112)), (1, 2, 7, 20)  # of linear layers, wide and narrow


@pytest.fixture(autouse=True)
def cured(pipeline):
    """Making a pipeline applies the cures."""


def tensor(values):
    import mindtorch

    return mindtorch.tensor(np.asarray(values))


def test_kernels_are_launched_synchronously():
    from mindspore._c_expression import RuntimeConf

    assert RuntimeConf.get_instance().is_launch_blocking()


def test_compiled_graphs_run_in_the_thread_that_calls_them(wide):
    """Else MindSpore has a thread for them, and the caller spins meanwhile."""
    decoder = wide("mono").decoder("graph")
    decoder.begin(2, 40, None, None)
    decoder.feed(np.zeros((2, 1, 128), np.float32))
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    assert len(names) > 1
    assert not [name for name in names if name.startswith("frontend_queue")]


def test_mindspores_threads_help_with_graphs_alone_and_change_no_sample():
    """On two processors; each in a process of its own, for MindSpore makes its threads once."""
    script = """if True:
        import hashlib, pathlib, sys
        from musicgen_ui.checkpoints import MENU
        from musicgen_ui.pipeline import Pipeline
        from musicgen_ui.request import Settings
        nano = Pipeline(engine=sys.argv[1]).load("nano", MENU["nano"].folder, "graph")
        [take] = nano.generate(["slow bells in D minor"], Settings(120), seeds=[5], engine="graph")
        names = [(task / "comm").read_text().split("_")[0] for task in pathlib.Path("/proc/self/task").iterdir()]
        print(names.count("ActorThread"), names.count("KernelThread"), hashlib.sha256(take.samples).hexdigest())
    """
    told = {}
    for engine in ("auto", "graph"):
        done = subprocess.run(
            [sys.executable, "-c", script, engine],
            env=os.environ | {"CPU_CORES": "2"}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told[engine] = done.stdout.split()
    (alone, none, samples), (actors, kernels, same) = told["auto"], told["graph"]
    assert (alone, none) == ("1", "0")
    assert int(actors) > 0
    assert int(kernels) > 0
    assert samples == same


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1,), (5,), (15,), (16,), (40,), (1, 1), (3, 1), (20, 1), (1, 5), (2, 16), (3, 7)])
def test_linear_layers_use_matmul_and_are_right(shape, bias, monkeypatch):
    """`shape` is the input's without its features: (rows,) or (rows, steps)."""
    from mindtorch._op_prim.cpu import legacy
    from mindtorch.nn import functional

    def slow_kernel(*args):
        raise AssertionError("the slow kernel was called")

    monkeypatch.setattr(legacy, "dense", slow_kernel)
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((*shape, 33), np.float32)
    weight, offset = rng.standard_normal((21, 33), np.float32), rng.standard_normal(21, np.float32)
    result = functional.linear(tensor(rows), tensor(weight), tensor(offset) if bias else None)
    expected = rows.astype(np.float64) @ weight.T + (offset if bias else 0)
    assert result.shape == (*shape, 21)
    np.testing.assert_allclose(result.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", STEPS)
def test_a_row_of_a_linear_layer_does_not_depend_on_its_batch(steps, shape):
    from mindtorch.nn import functional

    rng = np.random.default_rng(2)
    weight = tensor(rng.standard_normal(shape, np.float32))
    rows = rng.standard_normal((40, steps, shape[1]), np.float32)
    alone = [functional.linear(tensor(row[None]), weight).numpy()[0] for row in rows]
    for batch in (2, 3, 4, 5, 8, 11, 16, 40):
        among = functional.linear(tensor(rows[:batch]), weight).numpy()
        np.testing.assert_array_equal(among, alone[:batch])


def test_nor_where_mindspores_threads_share_it_out():
    """The same in a process that keeps them."""
    script = """if True:
        from musicgen_ui import cures
        from tests.engine import test_cures as tests
        cures.apply(in_one_thread=False)
        for shape in tests.SHAPES:
            for steps in tests.STEPS:
                tests.test_a_row_of_a_linear_layer_does_not_depend_on_its_batch(steps, shape)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_take_is_bit_for_bit_the_same_alone_and_among_four(tiny):
    model = tiny("mono")
    settings = Settings(max_new_tokens=10)
    among = model.generate(PROMPTS[:1], settings, seeds=(5, 6, 7, 8))
    for take, seed in zip(among, (5, 6, 7, 8), strict=True):
        alone = model.generate(PROMPTS[:1], settings, seeds=(seed,))[0]
        np.testing.assert_array_equal(take.codes, alone.codes)
        np.testing.assert_array_equal(take.samples, alone.samples)


def test_logarithms_are_exact_enough_to_be_rounded_down(tiny):
    import mindtorch

    powers = 2.0 ** np.arange(-3, 8, dtype=np.float32)
    np.testing.assert_array_equal(mindtorch.log(tensor(powers)).numpy(), np.log(powers))
    np.testing.assert_array_equal(mindtorch.log(tensor(np.array([1, 8]))).numpy(), np.log(np.float32([1, 8])))

    attention = tiny("mono").reference.model.text_encoder.encoder.block[0].layer[0].SelfAttention
    distances = np.array([0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 500])
    buckets = attention._relative_position_bucket(tensor(distances), True, 32, 128).numpy() - 16 * (distances > 0)
    # T5's rule: exact below 8, then 8 classes up to 128, equally wide in the logarithm
    assert list(buckets) == [0, 1, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15, 15]


def test_a_boolean_times_an_integer_is_an_integer():
    import mindtorch

    for product in (mindtorch.mul, mindtorch.ops.mul, lambda left, right: left * right):
        result = product(tensor([True, False, True]), tensor([3, 4, -1]))
        assert result.numpy().tolist() == [3, 0, -1]
        assert result.dtype == mindtorch.int64


def test_draws_come_from_the_given_generators():
    import mindtorch

    from musicgen_ui.cures import drawing_from

    probabilities = tensor(np.tile(np.float32([0.1, 0.0, 0.6, 0.3]), (6, 1)))

    def draws(*seeds):
        with drawing_from([np.random.default_rng(seed) for seed in seeds]):
            drawn = [mindtorch.multinomial(probabilities, num_samples=1).numpy() for _ in range(200)]
        return np.concatenate(drawn, axis=1)  # (rows, draws)

    first = draws(7, 8)
    assert first.shape == (6, 200)
    assert first.dtype == np.int64
    np.testing.assert_array_equal(first, draws(7, 8))
    np.testing.assert_array_equal(first[3:], draws(9, 8)[3:])  # the second take's rows: its generator alone
    assert (first[:3] != draws(9, 8)[:3]).any()
    shares = np.bincount(first.ravel(), minlength=4) / first.size
    np.testing.assert_allclose(shares, [0.1, 0, 0.6, 0.3], atol=0.05)
    assert shares[1] == 0


def test_the_codecs_lstms_run_on_the_loaded_weights(tiny):
    import mindtorch

    lstms = [module for module in tiny("mono").reference.model.modules() if isinstance(module, mindtorch.nn.LSTM)]
    assert len(lstms) == 2  # the codec's encoder's and decoder's
    for lstm in lstms:
        sound = (
            np.random.default_rng(3).standard_normal((9, 1, lstm.weight_ih_l0.shape[1])).astype(np.float32)
        )  # (steps, 1, width)
        with mindtorch.no_grad():
            result = lstm(tensor(sound))[0].numpy()
        expected = sound[:, 0]
        for layer in range(lstm.num_layers):
            weights = (getattr(lstm, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            expected = lstm_layer(expected, *(weight.detach().numpy() for weight in weights))
        np.testing.assert_allclose(result[:, 0], expected, atol=1e-5)


def lstm_layer(sound, input_weight, state_weight, input_bias, state_bias):
    """Hochreiter and Schmidhuber 1997, in torch's order of gates: in, forget, cell, out."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    state = cell = np.zeros(state_weight.shape[1])
    states = []
    for frame in sound.astype(np.float64):
        enter, forget, new, out = np.split(input_weight @ frame + input_bias + state_weight @ state + state_bias, 4)
        cell = sigmoid(forget) * cell + sigmoid(enter) * np.tanh(new)
        state = sigmoid(out) * np.tanh(cell)
        states.append(state)
    return np.array(states)


def test_melody_checkpoints_heed_melody_text_and_guidance(tiny):
    model = tiny("melody")
    up, down = (Clip(tune(notes, 1.5), SAMPLING_RATE) for notes in ("cdefgab", "bagfedc"))
    codes = model.generate_with_chroma([up], PROMPTS[:1], settings=GREEDY)[0].codes
    assert (codes != model.generate_with_chroma([down], PROMPTS[:1], settings=GREEDY)[0].codes).any(), "another melody"
    assert (codes != model.generate_with_chroma([up], PROMPTS[1:], settings=GREEDY)[0].codes).any(), "another text"
    unguided = Settings(max_new_tokens=8, do_sample=False, guidance_scale=1.0)
    assert (codes != model.generate_with_chroma([up], PROMPTS[:1], settings=unguided)[0].codes).any(), "no guidance"


@pytest.mark.parametrize(
    ("set_by_user", "endpoint"),
    [(None, "https://huggingface.co"), ("http://127.0.0.1:9", "http://127.0.0.1:9")],
)
def test_the_hub_is_the_users_or_the_main_one(set_by_user, endpoint):
    environment = {name: value for name, value in os.environ.items() if name != "HF_ENDPOINT"}
    if set_by_user:
        environment["HF_ENDPOINT"] = set_by_user
    script = "import musicgen_ui.cures; from huggingface_hub import constants; print(constants.ENDPOINT)"
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split()[-1] == endpoint


def test_mindnlp_starts_where_onnxruntime_is_installed(tmp_path):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    (tmp_path / "onnxruntime-1.32.0.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: onnxruntime\nVersion: 1.32.0\n"
    (tmp_path / "onnxruntime-1.32.0.dist-info" / "METADATA").write_text(metadata)
    script = "import sys, musicgen_ui.cures; assert 'diffusers.pipelines' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": f"{tmp_path}:."}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_scikit_learn_is_left_out_of_the_start_and_found_afterwards():
    script = (
        "import sys, musicgen_ui.pipeline; assert not {'sklearn', 'scipy.stats', 'pandas'} & set(sys.modules);"
        "import sklearn.decomposition"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
