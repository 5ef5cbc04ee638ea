"""The checkpoints that can be chosen, and how a name becomes a folder with weights."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from musicgen_ui.checksums import is_checked
from musicgen_ui.errors import InputError
from musicgen_ui.model_info import PUBLISHED_GENERATION_CONFIG, ModelInfo, read_model_info
from musicgen_ui.paths import ASSETS

DEFAULT = "nano"
HUB_FILES = ["*.json", "spiece.model", "model*.safetensors"]
"""what is downloaded of a repository: never pickled weights"""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Checkpoint:
    """One row of the model menu."""

    name: str
    hub_id: str | None = None
    """None: bundled with the app"""
    parameters: int = 0
    """of what is downloaded: text encoder, decoder and codec together"""
    melody: bool = False
    channels: int = 1

    @property
    def folder(self) -> Path | None:
        """Where a bundled checkpoint is; None for the others."""
        return None if self.hub_id else ASSETS / f"musicgen-{self.name}"

    @property
    def download_bytes(self) -> int:
        """Its float32 weights, near enough to tell a user before the download starts."""
        return 4 * self.parameters


def _by_meta(name: str, million_parameters: int, melody: bool = False, channels: int = 1) -> Checkpoint:
    return Checkpoint(name, f"facebook/musicgen-{name}", million_parameters * 1_000_000, melody, channels)


# Parameters: counted from the published configurations (tests/meta_configs.py).
MENU: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint("nano"),
        Checkpoint("nano-melody", melody=True),
        _by_meta("small", 589),
        _by_meta("medium", 2_006),
        _by_meta("large", 3_424),
        _by_meta("melody", 1_553, melody=True),
        _by_meta("melody-large", 2_618, melody=True),
        _by_meta("stereo-small", 606, channels=2),
        _by_meta("stereo-medium", 2_031, channels=2),
        _by_meta("stereo-large", 3_458, channels=2),
        _by_meta("stereo-melody", 1_578, melody=True, channels=2),
        _by_meta("stereo-melody-large", 2_652, melody=True, channels=2),
    )
}


def for_mode(model: str, mode: str) -> str:
    """`model`, or its bundled sister where only that one can do `mode`: nano continues, nano-melody follows."""
    if model == "nano" and mode == "melody":
        return "nano-melody"
    if model == "nano-melody" and mode == "continue":
        return "nano"
    return model


def only_english(model: str) -> bool:
    """Whether it was taught descriptions in English alone: all of Meta's were, by menu name or hub id. The bundled ones
    know Chinese too; of others nothing is known."""
    return any(model in (checkpoint.name, checkpoint.hub_id) for checkpoint in MENU.values() if checkpoint.hub_id)


def locate(model: str, own_models: bool = True) -> Path | str:
    """The folder of a bundled or local checkpoint, or the hub id of one that has to be there.

    `model` is a name of the menu, the path of a folder, or a hub id; the latter two only with `own_models`.
    Raises InputError for anything else.
    """
    if model in MENU:
        checkpoint = MENU[model]
        return checkpoint.folder or str(checkpoint.hub_id)
    if own_models:
        folder = _folder(model)
        if folder is not None:
            return folder
        if _HUB_ID.fullmatch(model) and not model.startswith((".", "/")):
            return model
    raise InputError("error.model_unknown", model=model[:80], models=", ".join(MENU))


def _folder(path: str) -> Path | None:
    try:
        folder = Path(path).expanduser()
        return folder if path and folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long a name, nobody's home, a null character
        return None


def is_complete(folder: Path) -> bool:
    """Whether all files are there that loading wants: settings, a tokenizer, every shard of the weights."""
    if not all((folder / name).is_file() for name in ("config.json", "preprocessor_config.json")):
        return False
    if not any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model")):
        return False
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError):
            return False
        return all((folder / shard).is_file() for shard in shards)
    return (folder / "model.safetensors").is_file()


def downloaded(hub_id: str) -> Path | None:
    """The cached checkpoint's folder if nothing is missing from it and all of it was checked; asks no network."""
    folder = cached(hub_id)
    return folder if folder and is_checked(folder) else None


def cached(hub_id: str) -> Path | None:
    """The cached checkpoint's folder if nothing is missing from it, whatever is in its files; asks no network."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=HUB_FILES, local_files_only=True))
    except Exception:  # the hub's client has a dozen ways to say "not there"
        return None
    return folder if is_complete(folder) else None


def published_info(checkpoint: Checkpoint) -> ModelInfo:
    """What is known of one of Meta's checkpoints before it is downloaded: they all share these sizes."""
    return ModelInfo(
        name=checkpoint.name,
        sampling_rate=32_000,
        frame_rate=50.0,
        codebooks=4,
        channels=checkpoint.channels,
        melody=checkpoint.melody,
        generation_config=PUBLISHED_GENERATION_CONFIG,
    )


def info(model: str, own_models: bool = True) -> ModelInfo:
    """`model`'s sizes and generation config, without loading or downloading it. InputError as `locate`."""
    place = locate(model, own_models)
    folder = place if isinstance(place, Path) else downloaded(place)
    if folder is not None:
        return read_model_info(model, folder)
    return published_info(MENU.get(model) or Checkpoint(model, str(place)))
