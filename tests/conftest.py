"""Tiny checkpoints, written once a session and loaded once each. The first test that needs MindNLP imports it."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint: `tiny_folder("mono")`; the kinds are tests.reference.cases.KINDS."""
    from musicgen_ui import cures  # noqa: F401  (MindNLP before transformers)
    from tests.reference import cases

    parent = tmp_path_factory.mktemp("tiny")
    return functools.cache(lambda kind: cases.write(parent / kind, kind))


@pytest.fixture(scope="session")
def pipeline():
    """One pipeline for all tests, as one process has; holds each tiny checkpoint that a test has asked for."""
    from musicgen_ui.pipeline import Pipeline

    return Pipeline()


@pytest.fixture(scope="session")
def tiny(pipeline, tiny_folder):
    """A loaded tiny checkpoint: `tiny("mono")` is its MusicGen, and the pipeline has it by that name."""
    return lambda kind: pipeline.load(kind, tiny_folder(kind))


@pytest.fixture(scope="session")
def wide(pipeline, tmp_path_factory):
    """A loaded tiny checkpoint whose heads have 64 dimensions, as Meta's, for all engines: `wide("mono")`."""
    from tests.reference import cases

    parent = tmp_path_factory.mktemp("wide")
    sizes = {"hidden_size": 128, "num_attention_heads": 2, "ffn_dim": 256}
    return functools.cache(
        lambda kind: pipeline.load(f"wide-{kind}", cases.write(parent / kind, kind, decoder=sizes), "graph")
    )
