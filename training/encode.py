"""Clips to codes, what the language models learn from: python -m training.encode

Every shard of clips that has no codes yet gets them: codes (clips, codebooks, frames) int16, the chroma of its melodies
(clips, frames) uint8, and its captions. Codes belong to one codec and one price of change (training.quantizer): after
a change of either, delete them.
"""

import argparse
import time
import zlib
from pathlib import Path

import numpy as np
import torch

from training import data, quantizer
from training.codec import load_state
from training.models import device_and_dtype

CODES = data.OUT / "codes"
BATCH = {"cuda": 32, "cpu": 8}  # clips of ten seconds


def codes_file(clips: Path) -> Path:
    """Where the codes of a shard of clips are."""
    return CODES / clips.with_suffix(".npz").name


@torch.no_grad()
def encode(model, analysis, clips: np.ndarray, device: torch.device) -> np.ndarray:
    """Clips (clips, samples) int16 → codes (clips, codebooks, frames) int16."""
    rows = max(1, int(BATCH[device.type] * data.SECONDS * 32_000 / clips.shape[1]))
    codes = []
    for start in range(0, len(clips), rows):
        audio = torch.from_numpy(clips[start : start + rows]).to(device).float() / 32768
        steady = quantizer.steady_codes(model.quantizer, analysis.whole(audio))
        codes.append(steady.to(torch.int16).cpu())
    return torch.cat(codes).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", default="0/1", help="i/n: every nth shard, from the ith; for n calls side by side")
    index, parts = map(int, parser.parse_args().share.split("/"))
    CODES.mkdir(parents=True, exist_ok=True)
    device, _ = device_and_dtype()
    model, analysis = load_state(device)
    books = b"".join(layer.codebook.embed.cpu().numpy().tobytes() for layer in model.quantizer.layers)
    mark = zlib.crc32(books, int(1000 * quantizer.CHANGE_PRICE))
    began, seconds = time.perf_counter(), 0.0
    for split in data.SPLITS:
        for path in data.shards(split)[index::parts]:
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
                    codes=encode(model, analysis, clips, device),
                    chroma=data.read_chroma(path, len(clips)),
                    captions=np.array(captions),
                    codec=mark,
                )
            partial.rename(codes_file(path))
            seconds += clips.size / 32_000
            print(f"{path.stem}: {seconds / (time.perf_counter() - began):.0f} × real time", flush=True)


if __name__ == "__main__":
    main()
