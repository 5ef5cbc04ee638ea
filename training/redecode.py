"""Teaches the codec's decoder the codes that language models learn from: python -m training.redecode --minutes 90

It has learnt from the nearest codes, but is to play those of training.encode, which change seldom; and what opens its
gates was so far a line through the codes of seven frames. Now the second LSTM layer's idle units may remember what came
before, and the gates may hear them; and the sound's texture counts, by which instruments are told. Codebooks, codes and
the oscillators stay as they are. Needs training.codec and training.encode. Stop it at any time; started again it goes
on. Leaves training/out/codec.safetensors.
"""

import argparse
import math
import time

import numpy as np
import torch
from torch.nn import functional as F

from training import data, measures, oscillator_bank
from training.codec import (
    BETAS,
    CLIP_GRADIENT,
    EVALUATE_SECONDS,
    HELD_OUT_CLIPS,
    HELD_OUT_SECONDS,
    LONGEST_STEP,
    MEL,
    STFT,
    TELL_STEPS,
    decode_codes,
    held_out_clips,
    load_state,
)
from training.encode import CODES, codes_file
from training.models import CODEC_FILE, autocast, device_and_dtype, save_weights
from training.oscillator_bank import FRAME_RATE, HOP
from training.spectral import SpectralLoss, TextureLoss

STATE = data.OUT / "redecoded.pt"
BATCH, FRAMES = {"cuda": 64, "cpu": 3}, 75  # crops of a step, and their frames: some seconds to remember
SHARDS = 40  # of clips in memory at most, 61 MB each
LEARNING_RATE, WARM_UP = 1e-3, 100  # at its height, falls as a cosine over the time given; steps
TEXTURE = 32.0  # weight of that loss
GATES_SHARE = 0.4  # of that rate for what the gates hear of the codes themselves


class Pool:
    """Clips (clips, samples) int16 in the device's memory, and their codes (clips, codebooks, frames)."""

    def __init__(self, device: torch.device):
        self.device, self.parts = device, []
        for path in data.shards("train", CODES)[-SHARDS:]:
            clips = data.CLIPS / path.with_suffix(".npy").name
            if clips.exists():
                codes = torch.from_numpy(np.load(path)["codes"]).to(device)
                self.parts.append((torch.from_numpy(np.load(clips)).to(device), codes))
        if not self.parts:
            raise SystemExit("there are no clips with codes: python -m training.encode")

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops (count, FRAMES · HOP) float32, and their codes (count, codebooks, FRAMES)."""
        clips, codes = self.parts[int(torch.randint(len(self.parts), ()))]
        rows = torch.randint(len(clips), (count, 1), device=self.device)
        starts = torch.randint(codes.shape[2] - FRAMES + 1, (count, 1), device=self.device)
        crops = clips[rows, starts * HOP + torch.arange(FRAMES * HOP, device=self.device)].float() / 32768
        places = starts + torch.arange(FRAMES, device=self.device)
        return crops, codes[rows, :, places].transpose(1, 2).long()


def evaluate(model, clips: np.ndarray, codes: torch.Tensor) -> str:
    """How far held-out clips are from what their codes say."""
    made = decode_codes(model, codes).cpu().numpy()[:, : clips.shape[1]]
    distance = np.mean([measures.mel_distance(a, b) for a, b in zip(clips, made, strict=True)])
    return f"held-out mel distance {distance:.2f} dB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=90, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    device, dtype = device_and_dtype()
    torch.manual_seed(int(time.time()))
    model, _ = load_state(device)
    model.decoder.train()  # changes nothing but that a GPU's LSTM may be learnt
    gates = oscillator_bank.hold_still(model.decoder)
    memory = oscillator_bank.remember(model.decoder)
    groups = [{"params": gates, "share": GATES_SHARE}, {"params": [memory], "share": 1.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, weight_decay=0.0)
    books = [layer.codebook.embed for layer in model.quantizer.layers]
    spectral, texture, pool = SpectralLoss().to(device), TextureLoss().to(device), Pool(device)
    clips = held_out_clips()
    codes = np.load(codes_file(data.shard_file(0, "held-out")))["codes"][:HELD_OUT_CLIPS]
    known = torch.from_numpy(codes[..., : int(HELD_OUT_SECONDS * FRAME_RATE)]).long().to(device)
    step, spent = 0, 0.0
    if STATE.is_file():
        state = torch.load(STATE, map_location=device)
        model.decoder.load_state_dict(state["decoder"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")

    def save() -> None:
        state = {"decoder": model.decoder.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state | {"step": step, "spent": spent}, STATE.with_suffix(".part"))
        STATE.with_suffix(".part").rename(STATE)
        save_weights(model, CODEC_FILE, torch.float32, leave="encoder.")

    print(evaluate(model, clips, known), flush=True)
    evaluated = now = time.perf_counter()
    before, first_step, sums = spent, step, torch.zeros(3, device=device)
    try:
        while spent < 60 * options.minutes:
            now, last = time.perf_counter(), now
            spent += min(now - last, LONGEST_STEP)
            progress = min(1.0, spent / (60 * options.minutes))
            warm = min(1, (step - first_step + 1) / WARM_UP)
            for group in optimizer.param_groups:
                rate = LEARNING_RATE * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
                group["lr"] = group["share"] * rate
            true, codes = pool.draw(BATCH[device.type])
            latents = sum(F.embedding(codes[:, k], book) for k, book in enumerate(books)).transpose(1, 2)
            with autocast(device, dtype):
                made = model.decoder(latents)[:, 0, : true.shape[1]].float()
            (mel, stft), statistics = spectral(made, true), texture(made, true)
            optimizer.zero_grad()
            (MEL * mel + STFT * stft + TEXTURE * statistics).backward()
            torch.nn.utils.clip_grad_norm_([*gates, memory], CLIP_GRADIENT)
            optimizer.step()
            step += 1
            sums += torch.stack([mel, stft, statistics]).detach()
            tell = TELL_STEPS[device.type]
            if step % tell == 0:
                speed = (step - first_step) / max(1e-9, spent - before)
                told = " ".join(f"{float(value) / tell:.3f}" for value in sums)
                print(f"{spent / 60:6.1f} min, step {step} ({speed:.2f}/s): mel, stft, texture {told}", flush=True)
                sums.zero_()
            if now - evaluated > EVALUATE_SECONDS:
                save()
                print(evaluate(model, clips, known), flush=True)
                evaluated = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()
    print(evaluate(model, clips, known), flush=True)


if __name__ == "__main__":
    main()
