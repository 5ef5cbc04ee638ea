"""From logits to tokens, in numpy: guidance, temperature, top-k, top-p and the draw, as transformers orders them."""

from collections.abc import Sequence

import numpy as np

from musicgen_ui.request import Settings


def guided(logits: np.ndarray, scale: float) -> np.ndarray:
    """Classifier-free guidance (Ho and Salimans 2022): (2 · rows, …), the conditioned half first → (rows, …)."""
    conditioned, unconditioned = np.split(logits, 2)
    return unconditioned + (conditioned - unconditioned) * np.float32(scale)


def choose(logits: np.ndarray, settings: Settings, generators: Sequence[np.random.Generator]) -> np.ndarray:
    """Tokens (rows, codebooks) int64 for logits (rows, codebooks, vocabulary) float32; a generator for each row."""
    if not settings.do_sample:
        return logits.argmax(axis=-1)
    flat = logits.reshape(-1, logits.shape[-1])
    return draw(probabilities(flat, settings), generators).reshape(logits.shape[:-1])


def probabilities(logits: np.ndarray, settings: Settings) -> np.ndarray:
    """(n, vocabulary) float32 → the distributions to draw from, by temperature, then top-k, then top-p.

    As `TemperatureLogitsWarper`, `TopKLogitsWarper` and `TopPLogitsWarper` (Holtzman et al. 2019) of transformers.
    """
    logits = logits / np.float32(settings.temperature or 1.0)
    vocabulary = logits.shape[-1]
    if settings.top_k and settings.top_k < vocabulary:
        threshold = np.partition(logits, vocabulary - settings.top_k, axis=-1)[:, vocabulary - settings.top_k, None]
        logits = np.where(logits < threshold, -np.inf, logits)
    if settings.top_p is not None and settings.top_p < 1.0:
        order = np.argsort(logits, axis=-1, kind="stable")  # ascending
        mass = _softmax(np.take_along_axis(logits, order, axis=-1)).cumsum(axis=-1)
        removed = mass <= 1.0 - settings.top_p
        removed[:, -1] = False
        np.put_along_axis(logits, order, np.where(removed, -np.inf, np.take_along_axis(logits, order, -1)), axis=-1)
    return _softmax(logits)


def draw(distributions: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
    """One draw per row of `distributions` (rows, vocabulary), by inverse transform; (rows,) int64.

    The rows fall into len(generators) equal groups, one per take; each group's generator gives its numbers.
    """
    cumulative = distributions.astype(np.float64).cumsum(axis=-1)
    rows_each = len(distributions) // len(generators)
    uniform = np.concatenate([generator.random(rows_each) for generator in generators])
    return (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(axis=-1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)
