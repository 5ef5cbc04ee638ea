"""Quantised weights on disk, beside the hub's cache, so that they are made once for a checkpoint."""

import contextlib
import hashlib
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from huggingface_hub import constants
from safetensors.numpy import save_file

from musicgen_ui.decoding.packing import pack_decoder
from musicgen_ui.decoding.weights import DecoderWeights, Tensors, mapped

FORMAT = 1
"""of the arrays, as `packing.pack_decoder` makes them: to be counted up when that changes"""
_WORTH_KEEPING = 50_000_000  # bytes: smaller weights are quantised faster than they are looked up
log = logging.getLogger(__name__)


def kept_path(tensors: Tensors, bits: int) -> Path:
    """Where a checkpoint's quantised weights are kept; HF_HOME moves it with the hub's cache."""
    return Path(constants.HF_HOME) / "musicgen-ui" / f"{_mark(tensors)}-int{bits}-{FORMAT}.safetensors"


def quantized_weights(weights: DecoderWeights, tensors: Tensors, bits: int) -> Mapping[str, np.ndarray]:
    """The decoder in `bits` (8 or 4), as `packing.pack_decoder` gives it: kept from before, mapped, or made and kept.

    Raises ValueError for a decoder that can't be quantised.
    """
    path = kept_path(tensors, bits)
    with contextlib.suppress(OSError, ValueError, KeyError):  # not there, or cut off
        return mapped(path)
    arrays = pack_decoder(weights, bits)
    if sum(array.nbytes for array in arrays.values()) < _WORTH_KEEPING:
        return arrays
    partial = path.with_name(f".{path.stem}-{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, partial)
        os.replace(partial, path)
        for left in path.parent.glob(f".{path.stem}-*.part"):  # by a process that was killed; or it does without
            left.unlink(missing_ok=True)
        return mapped(path)
    except OSError as fault:  # a full or read-only disk: the next start takes a little longer
        log.warning("quantised weights can't be kept: %s", fault)
        return arrays
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _mark(tensors: Tensors) -> str:
    """What tells checkpoints apart: their files' real paths, sizes and times."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in tensors.files]
    return hashlib.sha256(repr(stats).encode()).hexdigest()[:24]
