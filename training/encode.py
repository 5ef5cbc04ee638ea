"""Clips to codes, what the language models learn from: python -m training.encode

Every shard of clips that has no codes yet gets them: codes (clips, codebooks, frames) int16, the chroma of its melodies
(clips, frames) uint8, and its captions as tokens (clips, captions, TEXT_TOKENS) int16.
Codes belong to one codec and its prices of change (training.quantizer): after a change of either, delete them.
"""

import argparse
import time
import zlib
from pathlib import Path

import numpy as np
import torch

from training import data, quantizer
from training.codec import load_state
from training.models import TEXT_TOKENS, device_and_dtype, make_tokenizer

CODES = data.OUT / "codes"
BATCH = {"cuda": 32, "cpu": 8}  # clips of ten seconds that are heard at once
TOGETHER = {"cuda": 8, "cpu": 1}  # shards whose codes are chosen at once: each frame is a few small operations
LOOK_SECONDS = 5  # between looks for more clips


def codes_file(clips: Path) -> Path:
    """Where the codes of a shard of clips are."""
    return CODES / clips.with_suffix(".npz").name


@torch.no_grad()
def encode(model, analysis, clips: np.ndarray, device: torch.device) -> np.ndarray:
    """Clips (clips, samples) int16 → codes (clips, codebooks, frames) int16."""
    rows = max(1, int(BATCH[device.type] * data.SECONDS * 32_000 / clips.shape[1]))
    latents = []
    for start in range(0, len(clips), rows):
        audio = torch.from_numpy(clips[start : start + rows]).to(device).float() / 32768
        latents.append(analysis.whole(audio))
    return quantizer.steady_codes(model.quantizer, torch.cat(latents)).to(torch.int16).cpu().numpy()


def write_codes(path: Path, codes: np.ndarray, tokenizer, mark: int) -> None:
    """What is learnt from the clips in `path`, beside their codes (clips, codebooks, frames); appears whole."""
    seeds = data.shard_seeds(data.number_of(path))[: len(codes)]
    split = path.name.rsplit("-", 1)[0]
    texts = [text for seed in seeds for text in data.caption_clip(data.draw_clip(seed, split), seed)]
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=TEXT_TOKENS)["input_ids"]
    partial = codes_file(path).with_suffix(".part")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            codes=codes,
            chroma=data.read_chroma(path, len(codes)),
            captions=np.array(ids, np.int16).reshape(len(seeds), -1, TEXT_TOKENS),
            codec=mark,
        )
    partial.rename(codes_file(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", default="0/1", help="i/n: every nth shard, from the ith; for n calls side by side")
    parser.add_argument("--follow", action="store_true", help="wait for more clips, until stopped")
    options = parser.parse_args()
    index, parts = map(int, options.share.split("/"))
    CODES.mkdir(parents=True, exist_ok=True)
    device, _ = device_and_dtype()
    model, analysis = load_state(device)
    tokenizer = make_tokenizer()
    books = b"".join(layer.codebook.embed.cpu().numpy().tobytes() for layer in model.quantizer.layers)
    mark = zlib.crc32(books + repr((quantizer.CHANGE_PRICES, quantizer.BIT_PRICES)).encode())
    for path in data.shards("train", CODES) + data.shards("held-out", CODES):
        if int(np.load(path)["codec"]) != mark:
            raise SystemExit(f"{path.name} was made by another codec: delete {CODES}")
    began, seconds = time.perf_counter(), 0.0
    while True:
        for length in (data.SECONDS, data.LONG_SECONDS):
            paths = [path for split in data.SPLITS for path in data.shards(split, seconds=length)[index::parts]]
            paths = [path for path in paths if not codes_file(path).exists()]
            for start in range(0, len(paths), TOGETHER[device.type]):
                group = paths[start : start + TOGETHER[device.type]]
                clips = [np.load(path) for path in group]
                codes = encode(model, analysis, np.concatenate(clips), device)
                borders = np.cumsum([len(part) for part in clips])[:-1]
                for path, some in zip(group, np.split(codes, borders), strict=True):
                    write_codes(path, some, tokenizer, mark)
                seconds += sum(part.size for part in clips) / 32_000
                speed = seconds / (time.perf_counter() - began)
                print(f"up to {group[-1].stem}: {speed:.0f} × real time", flush=True)
        if not options.follow:
            return
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
