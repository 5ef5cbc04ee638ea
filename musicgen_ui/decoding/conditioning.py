"""What the decoder is told: descriptions through T5, melodies as chroma, and their absence for guidance."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from musicgen_ui import cures  # noqa: F401  (MindNLP first: it stands in for torch when transformers is imported)

# isort: split
import mindtorch as torch
import numpy as np
from mindnlp.transformers import T5EncoderModel
from transformers import T5Config

from musicgen_ui.decoding.tokens import Conditions
from musicgen_ui.decoding.weights import Tensors, load_part
from musicgen_ui.take import NOTHING_READ, TextToken, TextTokens

MAX_TEXT_TOKENS = 512
_REMEMBERED = 64  # texts


class Conditioner:
    """Text encoder and projections of one checkpoint."""

    def __init__(self, tensors: Tensors, config: Mapping, tokenizer) -> None:
        """config: the checkpoint's config.json. KeyError where weights lack."""
        self.tokenizer = tokenizer
        self.text_encoder = load_part(
            T5EncoderModel, T5Config.from_dict(config["text_encoder"]), tensors, "text_encoder."
        )
        self.state_width = config["text_encoder"]["d_model"]
        self._width = config["decoder"]["hidden_size"]
        self._melody = "num_chroma" in config
        self._num_chroma, self._chroma_length = config.get("num_chroma", 12), config.get("chroma_length", 235)
        self._text_projection = _projection(tensors, "enc_to_dec_proj")
        self._chroma_projection = _projection(tensors, "audio_enc_to_dec_proj") if self._melody else None
        self._remembered: OrderedDict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the longest text has."""
        encoded = self.tokenizer(list(texts), truncation=True, max_length=MAX_TEXT_TOKENS)
        return max(len(ids) for ids in encoded["input_ids"])

    def read(self, text: str) -> TextTokens:
        """`text` as the text encoder reads it. Of no text nothing is read: its states are zeros, masked out."""
        if not text:
            return NOTHING_READ
        ids = self.tokenizer(text, truncation=True, max_length=MAX_TEXT_TOKENS)["input_ids"]
        special = set(self.tokenizer.all_special_ids)
        pieces = self.tokenizer.convert_ids_to_tokens(ids)
        return TextTokens(
            tuple(TextToken(piece, number, number in special) for piece, number in zip(pieces, ids, strict=True)),
            cut=len(self.tokenizer(text)["input_ids"]) - len(ids),
        )

    def __call__(self, texts: Sequence[str], width: int, chroma: np.ndarray | None, guided: bool) -> Conditions:
        """One row per text, padded to `width` tokens (0: as the longest needs), and as many null rows if `guided`.

        chroma: (rows, frames, 12), what melody checkpoints follow; None is their null melody. A row without text is
        masked out, as the null condition is. Null rows as the reference has them: text states of zeros, the pitch
        class C all the time.
        """
        if not any(texts) and not self._melody:
            states, mask = np.zeros((len(texts), 1, self._width), np.float32), np.zeros((len(texts), 1), bool)
        else:
            width = width or self.tokens(texts)
            told = [self._text(text, width) for text in texts]
            states, mask = np.stack([state for state, _ in told]), np.stack([row for _, row in told])
        if guided:
            states, mask = (np.concatenate([part, np.zeros_like(part)]) for part in (states, mask))
        if not self._melody:
            return Conditions(states=states, mask=mask)
        null = np.zeros((len(texts), 1 if chroma is None else chroma.shape[1], self._num_chroma), np.float32)
        null[:, :, 0] = 1
        followed = null if chroma is None else chroma
        prefix = self._chroma(np.concatenate([followed, null]) if guided else followed)
        return Conditions(prefix=np.concatenate([prefix, states], axis=1))

    def _text(self, text: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        """states (width, decoder width) float32 and mask (width,) of one text."""
        key = text, width
        if key not in self._remembered:
            tokens = self.tokenizer(
                [text], padding="max_length", truncation=True, max_length=width, return_tensors="np"
            )
            mask = tokens["attention_mask"].astype(np.int64)
            with torch.no_grad():
                ids = torch.tensor(tokens["input_ids"].astype(np.int64))
                states = self.text_encoder(input_ids=ids, attention_mask=torch.tensor(mask)).last_hidden_state
            heard = mask[0].astype(bool) & bool(text)
            self._remembered[key] = _projected(states.numpy()[0], self._text_projection) * heard[:, None], heard
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        return self._remembered[key]

    def _chroma(self, chroma: np.ndarray) -> np.ndarray:
        """(rows, frames, 12) → (rows, chroma length, decoder width): a short melody begins again, a long one is cut."""
        states = _projected(chroma, self._chroma_projection)
        repeats = -(-self._chroma_length // states.shape[1])
        return np.tile(states, (1, repeats, 1))[:, : self._chroma_length]


def _projection(tensors: Tensors, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Weight (out, in) and bias; None where both sides have one width."""
    if f"{name}.weight" not in tensors:
        return None
    return tensors.float32(f"{name}.weight"), tensors.float32(f"{name}.bias")


def _projected(states: np.ndarray, projection: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    return states if projection is None else states @ projection[0].T + projection[1]
