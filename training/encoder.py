"""Teaches the codec's own encoder to say what the analysis says: python -m training.encoder --minutes 30

So a clip that a user uploads gets the codes that the language model knows; the codes that training uses come from the
analysis, so this may run beside the language model's training, or after it. Needs training.codec to be done. Stop it
at any time; started again it goes on. Leaves training/out/encoder.safetensors, and prints how far held-out clips are
from their round trip through the whole codec, and how often its codes are the analysis's.
"""

import argparse
import time

import numpy as np
import torch

from training import data, measures, quantizer
from training.analysis import CONTEXT
from training.codec import (
    BETAS,
    CLIP_GRADIENT,
    EVALUATE_SECONDS,
    HELD_OUT_SECONDS,
    LONGEST_STEP,
    ClipPool,
    analysis_codes,
    decode_codes,
    held_out_clips,
    load_state,
)
from training.models import ENCODER_FILE, autocast, device_and_dtype, even_out, save_weights, share_of_rate

STATE = data.OUT / "encoder.pt"
BATCH = {"cuda": 64, "cpu": 4}
LEARNING_RATE, WARM_UP = 1e-3, 100  # at its height, falls as a cosine over the time given; steps
EDGE = 4  # frames at both ends of a crop that aren't learnt: there the encoder sees mirrored sound
TELL_STEPS = 50


@torch.no_grad()
def evaluate(model, analysis, clips: torch.Tensor) -> str:
    """Mel distance of the round trip, and the share of codes that are the analysis's, for each codebook."""
    true = analysis_codes(model, analysis, clips)
    own = model.encode(clips[:, None]).audio_codes[0]
    made = decode_codes(model, own).cpu().numpy()
    distance = np.mean([measures.mel_distance(a, b) for a, b in zip(clips.cpu().numpy(), made, strict=True)])
    same = (own == true[..., : own.shape[-1]]).float().mean((0, 2)).tolist()
    return f"held-out mel distance {distance:.2f} dB, codes as the analysis's " + " ".join(f"{s:.0%}" for s in same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    device, dtype = device_and_dtype()
    torch.manual_seed(int(time.time()))
    model, analysis = load_state(device)
    model.encoder.train()  # changes nothing but that a GPU's LSTM may be learnt
    model.requires_grad_(False)
    analysis.requires_grad_(False)
    learnt = list(model.encoder.requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(learnt, lr=0.0, betas=BETAS, weight_decay=1e-3)
    clips = torch.from_numpy(held_out_clips()[:, : HELD_OUT_SECONDS * 32_000]).to(device)
    pool = ClipPool(device)
    pool.refresh()
    step, spent = 0, 0.0
    if STATE.is_file():
        state = torch.load(STATE, map_location=device)
        model.encoder.load_state_dict(state["encoder"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")
    else:
        even_out(model.encoder, pool.draw(16)[:, None, CONTEXT:-CONTEXT])
    first = torch.cat([analysis(pool.draw(8)) for _ in range(8)]).transpose(1, 2).flatten(0, 1)
    spread = first.var(0).mean()

    def save() -> None:
        state = {"encoder": model.encoder.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state | {"step": step, "spent": spent}, STATE.with_suffix(".part"))
        STATE.with_suffix(".part").rename(STATE)
        save_weights(model.encoder, ENCODER_FILE, torch.float32)

    evaluated = now = time.perf_counter()
    before, first_step, total = spent, step, 0.0
    try:
        while spent < 60 * options.minutes:
            now, last = time.perf_counter(), now
            spent += min(now - last, LONGEST_STEP)
            share = share_of_rate(step - first_step, WARM_UP, spent / (60 * options.minutes))
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * share
            heard = pool.draw(BATCH[device.type])
            with torch.no_grad():
                goal = analysis(heard)
                goal = quantizer.quantize(model.quantizer, goal, learning=False)[0] * 0.5 + goal * 0.5
            with autocast(device, dtype):
                said = model.encoder(heard[:, None, CONTEXT:-CONTEXT]).float()
            loss = (said - goal)[..., EDGE:-EDGE].square().mean() / spread
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learnt, CLIP_GRADIENT)
            optimizer.step()
            step += 1
            total += loss.detach()
            if step % TELL_STEPS == 0:
                speed = (step - first_step) / max(1e-9, spent - before)
                told = float(total) / TELL_STEPS
                print(f"{spent / 60:6.1f} min, step {step} ({speed:.2f}/s): unexplained {told:.3f}", flush=True)
                total = 0.0
            if now - evaluated > EVALUATE_SECONDS:
                save()
                print(evaluate(model, analysis, clips), flush=True)
                evaluated = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()
    print(evaluate(model, analysis, clips), flush=True)


if __name__ == "__main__":
    main()
