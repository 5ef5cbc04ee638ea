"""The reference engine: MindNLP's own model and its `generate`, as transformers has it."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from musicgen_ui import cures  # MindNLP first: it stands in for torch when transformers is imported

# isort: split
import mindtorch as torch
import numpy as np
from mindnlp.transformers import MusicgenForConditionalGeneration
from transformers import GenerationConfig
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutput

from musicgen_ui.decoding.conditioning import Conditioner
from musicgen_ui.decoding.tokens import AfterStep
from musicgen_ui.request import Settings


class Reference:
    """A whole checkpoint as MindNLP runs it; the text encoder is the one that the other engines use too."""

    def __init__(self, folder: Path, melody: bool, conditioner: Conditioner) -> None:
        model_class = cures.MelodyModel if melody else MusicgenForConditionalGeneration
        self.model = model_class.from_pretrained(folder, use_safetensors=True, local_files_only=True).eval()
        self.model.text_encoder = conditioner.text_encoder
        cures.point_lstms_at_their_weights(self.model)
        self._melody, self.tokenizer = melody, conditioner.tokenizer

    def generate_tokens(
        self,
        texts: Sequence[str],
        width: int,
        chroma: np.ndarray | None,
        prompt_codes: np.ndarray | None,
        settings: Settings,
        config: Mapping[str, Any],
        generators: Sequence[np.random.Generator],
        after_step: AfterStep,
    ) -> np.ndarray:
        """Columns (rows, codebooks, steps); one text, clip and generator per row, texts padded to `width` tokens."""
        inputs = self._conditioning(texts, width, chroma)
        if prompt_codes is not None:
            inputs["decoder_input_ids"] = torch.tensor(prompt_codes.reshape(-1, prompt_codes.shape[-1]))
        generation_config = GenerationConfig.from_dict({**self.model.generation_config.to_dict(), **config})
        columns = _Columns(len(texts), after_step)
        with contextlib.suppress(_TokensEnded), torch.no_grad(), cures.drawing_from(generators):
            self.model.generate(**inputs, generation_config=generation_config, streamer=columns, **vars(settings))
        return columns.all()

    def _conditioning(self, texts: Sequence[str], width: int, chroma: np.ndarray | None) -> dict:
        """`generate`'s inputs for one text per row; a row without text is masked out, as the null condition is."""
        if not any(texts) and not self._melody:
            null = self.model.get_unconditional_inputs(len(texts))
            return {
                "encoder_outputs": BaseModelOutput(last_hidden_state=null.encoder_outputs[0]),
                "attention_mask": null.attention_mask,
            }
        tokens = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=width, return_tensors="np"
        )
        mask = tokens["attention_mask"] * np.array([[bool(text)] for text in texts])
        inputs = {
            "input_ids": torch.tensor(tokens["input_ids"].astype(np.int64)),
            "attention_mask": torch.tensor(mask.astype(np.int64)),
        }
        if chroma is not None:
            inputs["input_features"] = torch.tensor(chroma)
        return inputs


class _TokensEnded(Exception):
    """All tokens are here, or were stopped: leaves `generate` before it decodes, which is done row by row."""


class _Columns(BaseStreamer):
    """Collects what `generate` hands out: once the start (rows · codebooks, steps), then (rows · codebooks,) a step."""

    def __init__(self, rows: int, after_step: AfterStep) -> None:
        self._rows, self._after_step = rows, after_step
        self._columns: list[np.ndarray] = []

    def put(self, value) -> None:
        tokens = value.numpy()
        self._columns.extend(tokens.T if tokens.ndim == 2 else [tokens])
        if not self._after_step(self.all()):
            raise _TokensEnded

    def end(self) -> None:
        raise _TokensEnded

    def all(self) -> np.ndarray:
        """(rows, codebooks, steps)"""
        return np.stack(self._columns, axis=-1).reshape(self._rows, -1, len(self._columns))
