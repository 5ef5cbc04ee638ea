"""How much memory a checkpoint wants, read from its files' headers."""

import numpy as np
import pytest

from musicgen_ui import memory
from musicgen_ui.errors import MachineError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4659492\n"


@pytest.fixture
def weights(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((3, 5), np.float16), "b": np.zeros(7, np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def test_half_precision_counts_as_what_it_becomes(weights):
    assert memory.float32_bytes(weights) == 4 * (3 * 5 + 7)


def test_only_the_shards_of_a_sharded_checkpoint_count(weights):
    from safetensors.numpy import save_file

    for n in (1, 2):
        save_file({f"w{n}": np.zeros(10, np.float32)}, weights / f"model-0000{n}-of-00002.safetensors")
    (weights / "model.safetensors.index.json").write_text("{}")
    assert memory.float32_bytes(weights) == 80


@pytest.mark.parametrize("content", [b"", b"abc", POINTER, b"\xff" * 100, b"\x02" + b"\0" * 7 + b"[]"])
def test_a_file_without_a_header_is_left_to_loading(content, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 (json's own kinds among them)
        memory.float32_bytes(tmp_path)
    memory.check_room_for(tmp_path, "broken")


def test_what_does_not_fit_is_said_with_both_figures(weights, monkeypatch):
    memory.check_room_for(weights, "small")
    monkeypatch.setattr(memory, "available_bytes", lambda: 50)
    with pytest.raises(MachineError, match=r"“small” needs about 0\.0 GB"):
        memory.check_room_for(weights, "small")
    with pytest.raises(MachineError) as fault:
        memory.check_total(10**15, "large")
    assert fault.value.key == "error.too_large"


def test_this_process_has_some():
    assert 0 < memory.available_bytes() <= memory.total_bytes()
    assert 10**7 < memory.peak_bytes() < memory.total_bytes()
