"""A checkpoint's tensors, memory-mapped, and the decoder's in the order in which an engine wants them."""

import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np

_DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of a folder's safetensors file or shards by name, as read-only views of the mapped files.

    Nothing is read before it is used, and what is used is the page cache's, not this process's own memory.
    Raises ValueError for files that are no safetensors, OSError where they can't be read.
    """

    def __init__(self, folder: Path) -> None:
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        else:
            files = ["model.safetensors"]
        self.files = [folder / file for file in files]
        self._maps: list[mmap.mmap] = []
        self._views: dict[str, np.ndarray] = {}
        for file in self.files:
            self._maps.append(_map(file))
            self._views.update(_views(self._maps[-1], file.name))

    def __getitem__(self, name: str) -> np.ndarray:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def release(self) -> None:
        """Gives back the memory of what was read, as far as the system can: it comes again when it is used again."""
        for file in self._maps:
            if hasattr(mmap, "MADV_DONTNEED"):
                file.madvise(mmap.MADV_DONTNEED)

    def float32(self, name: str) -> np.ndarray:
        """The tensor as float32; a copy only where it is stored otherwise."""
        return np.asarray(self[name], np.float32)


def mapped(path: Path) -> dict[str, np.ndarray]:
    """Read-only views of a safetensors file's tensors. Errors as those of `Tensors`."""
    return _views(_map(path), path.name)


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _views(file: mmap.mmap, name: str) -> dict[str, np.ndarray]:
    """Eight bytes of header length, a JSON header, the data."""
    data = np.frombuffer(file, np.uint8)
    start = 8 + int(data[:8].view("<u8")[0]) if data.size >= 8 else data.size + 1
    if start > data.size:  # a pointer of Git LFS, say
        raise ValueError(f"{name} has no safetensors header")
    views = {}
    for tensor, entry in json.loads(bytes(data[8:start])).items():
        if tensor != "__metadata__":
            begin, end = (start + offset for offset in entry["data_offsets"])
            if end > data.size:
                raise ValueError(f"{name} is cut off")
            views[tensor] = data[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return views


_RENAMED = (  # Meta's published names to those of torch's parametrisations
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)


def load_part(model_class, config, tensors: Tensors, prefix: str):
    """One of MindNLP's models with the weights whose names begin with `prefix`, ready for inference, nothing else read.

    Made without memory, then given its weights, so that each is copied once. What it computes of itself, not of
    weights, is left without memory too. KeyError where weights lack.
    """
    import mindtorch

    with mindtorch.device("meta"):
        model = model_class(config)
    own = model.state_dict()
    state = {}
    for name in tensors:
        if name.startswith(prefix):
            part = name[len(prefix) :]
            if part not in own:
                for old, new in _RENAMED:
                    part = part.replace(old, new)
            state[part] = mindtorch.tensor(tensors.float32(name))
    missing = set(own) - set(state) - set(model._tied_weights_keys or ())
    wrong = [name for name, value in state.items() if name in own and own[name].shape != value.shape]
    if missing or wrong:
        raise KeyError(f"{prefix}: {sorted(missing) or wrong}")
    model.load_state_dict(state, assign=True, strict=False)
    model.tie_weights()
    return model.eval()


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer. Matrices are float32 (out, in); norms are (2, width): weight and bias.

    The cross-attention's are None in melody checkpoints, which put their conditions before the codes instead.
    """

    qkv: np.ndarray
    """(3 · width, width): query, key and value projections, one above the other"""
    attention_out: np.ndarray
    cross_query: np.ndarray | None
    cross_key: np.ndarray | None
    cross_value: np.ndarray | None
    cross_out: np.ndarray | None
    fc1: np.ndarray
    fc2: np.ndarray
    attention_norm: np.ndarray
    cross_norm: np.ndarray | None
    final_norm: np.ndarray


@dataclass(frozen=True)
class DecoderWeights:
    """MusicGen's decoder (Copet et al. 2023) as `MusicgenDecoder` of transformers computes it, embeddings aside.

    `layers` makes each layer's arrays when it is asked for, so that no more than one need be in memory at a time.
    """

    layers: Sequence[LayerWeights]
    norm: np.ndarray
    """(2, width)"""
    heads: np.ndarray
    """(codebooks · vocabulary, width)"""
    attention_heads: int
    codebooks: int

    @property
    def step_bytes(self) -> int:
        """What a step reads in float32: every weight once, but the cross-attention's keys' and values'."""
        layer = self.layers[0]
        read = (layer.qkv, layer.attention_out, layer.cross_query, layer.cross_out, layer.fc1, layer.fc2)
        return len(self.layers) * sum(m.nbytes for m in read if m is not None) + self.heads.nbytes


def decoder_weights(tensors: Tensors, config: Mapping) -> DecoderWeights:
    """The decoder of a checkpoint whose config.json has `config` as its "decoder". KeyError where one is missing."""
    heads = [tensors.float32(f"decoder.lm_heads.{k}.weight") for k in range(config["num_codebooks"])]
    return DecoderWeights(
        layers=_Layers(tensors, config["num_hidden_layers"]),
        norm=_norm(tensors, "decoder.model.decoder.layer_norm"),
        heads=np.concatenate(heads),
        attention_heads=config["num_attention_heads"],
        codebooks=config["num_codebooks"],
    )


class _Layers(Sequence[LayerWeights]):
    def __init__(self, tensors: Tensors, count: int) -> None:
        self._tensors, self._count = tensors, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number):
        if not 0 <= number < self._count:
            raise IndexError(number)
        prefix = f"decoder.model.decoder.layers.{number}."

        def matrix(name: str) -> np.ndarray:
            return self._tensors.float32(f"{prefix}{name}.weight")

        has_cross = f"{prefix}encoder_attn.q_proj.weight" in self._tensors
        cross = [matrix(f"encoder_attn.{p}_proj") if has_cross else None for p in ("q", "k", "v", "out")]
        return LayerWeights(
            qkv=np.concatenate([matrix(f"self_attn.{p}_proj") for p in "qkv"]),
            attention_out=matrix("self_attn.out_proj"),
            cross_query=cross[0],
            cross_key=cross[1],
            cross_value=cross[2],
            cross_out=cross[3],
            fc1=matrix("fc1"),
            fc2=matrix("fc2"),
            attention_norm=_norm(self._tensors, prefix + "self_attn_layer_norm"),
            cross_norm=_norm(self._tensors, prefix + "encoder_attn_layer_norm") if has_cross else None,
            final_norm=_norm(self._tensors, prefix + "final_layer_norm"),
        )


def _norm(tensors: Tensors, name: str) -> np.ndarray:
    return np.stack([tensors.float32(f"{name}.weight"), tensors.float32(f"{name}.bias")])
