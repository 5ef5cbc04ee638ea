"""Clips to codes, what the language models learn from: python -m training.encode

Every shard of clips that has no codes yet gets them: codes (clips, codebooks, frames) int16, the chroma of its melodies
(clips, frames) uint8, and its captions. Codes belong to one codec: after training that again, delete them.
"""

import time
import zlib
from pathlib import Path

import numpy as np
import torch

from training import data
from training.models import CODEC_FILE, device_and_dtype, make_codec, warm_codec

CODES = data.OUT / "codes"
BATCH = {"cuda": 32, "cpu": 8}  # clips of ten seconds


def codes_file(clips: Path) -> Path:
    """Where the codes of a shard of clips are."""
    return CODES / clips.with_suffix(".npz").name


def codec_mark() -> int:
    """What tells codecs apart."""
    return zlib.crc32(CODEC_FILE.read_bytes()) if CODEC_FILE.is_file() else 0


@torch.no_grad()
def encode(model, clips: np.ndarray, device: torch.device) -> np.ndarray:
    """Clips (clips, samples) int16 → codes (clips, codebooks, frames) int16, in float32 as the app does it."""
    rows = max(1, int(BATCH[device.type] * data.SECONDS * 32_000 / clips.shape[1]))
    codes = []
    for start in range(0, len(clips), rows):
        audio = torch.from_numpy(clips[start : start + rows]).to(device).float() / 32767
        codes.append(model.encode(audio[:, None]).audio_codes[0].to(torch.int16).cpu())
    return torch.cat(codes).numpy()


def main() -> None:
    CODES.mkdir(parents=True, exist_ok=True)
    device, _ = device_and_dtype()
    model = make_codec().eval().to(device)
    print(f"codec from {warm_codec(model) or 'nowhere: random weights'}")
    model.half().float()  # as it is exported
    mark = codec_mark()
    began, seconds = time.perf_counter(), 0.0
    for split in data.SPLITS:
        for path in data.shards(split):
            if codes_file(path).exists():
                if int(np.load(codes_file(path))["codec"]) != mark:
                    raise SystemExit(f"{codes_file(path).name} was made by another codec: delete {CODES}")
                continue
            clips = np.load(path)
            seeds = data.shard_seeds(data.number_of(path))[: len(clips)]
            captions = [data.caption_clip(data.draw_clip(seed, split), seed) for seed in seeds]
            partial = codes_file(path).with_suffix(".part")
            with partial.open("wb") as file:
                np.savez_compressed(
                    file,
                    codes=encode(model, clips, device),
                    chroma=data.read_chroma(path, len(clips)),
                    captions=np.array(captions),
                    codec=mark,
                )
            partial.rename(codes_file(path))
            seconds += clips.size / 32_000
            print(f"{path.stem}: {seconds / (time.perf_counter() - began):.0f} × real time", flush=True)


if __name__ == "__main__":
    main()
