"""Trains EnCodec's decoder and codebooks on rendered clips: python -m training.codec --minutes 60

The latents come from training.analysis meanwhile; what the encoder must learn is in training.encoder. The decoder
starts as a bank of oscillators (training.oscillator_bank). Needs clips (training.data), which may go on being rendered.
Stop it at any time; started again it goes on. Leaves training/out/codec.safetensors (and codec.pt, with the analysis),
and prints how far held-out clips are from their round trip beside MP3 and Opus.
"""

import argparse
import time

import numpy as np
import torch

from training import data, measures, oscillator_bank, quantizer
from training.analysis import CONTEXT, Analysis
from training.models import (
    ANALYSIS_FILE,
    CODEC,
    CODEC_FILE,
    FOLDERS,
    autocast,
    device_and_dtype,
    is_trained,
    load_weights,
    make_codec,
    save_weights,
    share_of_rate,
)
from training.oscillators import SAMPLE_RATE
from training.spectral import SpectralLoss

STATE = data.OUT / "codec.pt"  # everything that going on needs
CROP = SAMPLE_RATE  # samples
BATCH = {"cuda": 64, "cpu": 4}
POOL_BYTES = {"cuda": 16 << 30, "cpu": 2 << 30}  # of clips held in memory, int16
LEARNING_RATE = {"cuda": 1e-3, "cpu": 1e-3}  # at its height; falls as a cosine over the time given
GATES_SHARE = 0.3  # of that rate for what opens the oscillators' gates
WARM_UP = {"cuda": 200, "cpu": 100}  # steps
BETAS = (0.8, 0.99)
CLIP_GRADIENT = 1.0
AXES_CLIPS = 48  # that the first latents' axes are found on
QUANTIZE_FROM = 300  # steps as an autoencoder, after which k-means sets the codebooks
FREEZE = 0.8  # share of the time after which analysis and codebooks stay as they are, and codes are final
FEWER_BOOKS = 0.25  # share of rows that only the first codebook of each part tells of
MEL, STFT, COMMITMENT = 8.0, 1.0, 0.25  # weights of the losses
GAINS = (-5.0, 2.0)  # dB: codes that tell levels tell less of the music
LONGEST_STEP = 5.0  # seconds that a step counts for at most: a paused process uses no time
TELL_STEPS = {"cuda": 200, "cpu": 50}  # between lines of losses, which are means over them
EVALUATE_SECONDS = 120  # between evaluations; they cost some seconds
POOL_SECONDS = 60  # between looks for new shards
HELD_OUT_CLIPS, HELD_OUT_SECONDS = 24, 5
LISTEN = 4  # of them are written as WAV beside their originals


class ClipPool:
    """Clips in the device's memory, (clips, samples) int16, the newest shards in the place of the oldest."""

    def __init__(self, device: torch.device):
        self.device, self.seen, self.parts = device, set(), []

    def refresh(self) -> int:
        """Takes in the shards that have come; returns how many clips there are now."""
        samples = int(data.SECONDS * SAMPLE_RATE)
        for path in data.shards("train"):
            if path not in self.seen:
                self.seen.add(path)
                clips = torch.from_numpy(np.load(path).reshape(-1, samples))  # long clips are cut in three
                self.parts.append(clips.to(self.device))
        while sum(part.nbytes for part in self.parts) > POOL_BYTES[self.device.type]:
            self.parts.pop(0)
        return sum(len(part) for part in self.parts)

    def draw(self, count: int) -> torch.Tensor:
        """(count, CROP + 2 · CONTEXT) float32: crops from one shard, which saves gathering; each at its own gain."""
        part = self.parts[int(torch.randint(len(self.parts), ()))]
        samples = CROP + 2 * CONTEXT
        rows = torch.randint(len(part), (count, 1), device=self.device)
        starts = torch.randint(part.shape[1] - samples, (count, 1), device=self.device)
        crops = part[rows, starts + torch.arange(samples, device=self.device)].float() / 32768
        decibels = torch.empty(count, 1, device=self.device).uniform_(*GAINS)
        return crops * 10 ** (decibels / 20)


def load_state(device: torch.device) -> tuple[torch.nn.Module, Analysis]:
    """The codec and the analysis as training has left them, or else the bundled ones."""
    model, analysis = make_codec(), Analysis()
    if STATE.is_file():
        state = torch.load(STATE, map_location="cpu")
        model.load_state_dict(state["model"])
        analysis.load_state_dict(state["analysis"])
    elif is_trained(FOLDERS[False]) and ANALYSIS_FILE.is_file():
        load_weights(model, FOLDERS[False] / "model.safetensors", CODEC)
        load_weights(analysis, ANALYSIS_FILE)
    else:
        raise SystemExit("there is no trained codec: python -m training.codec")
    return model.to(device).eval(), analysis.to(device).eval()


@torch.no_grad()
def decode_codes(model, codes: torch.Tensor) -> torch.Tensor:
    """codes (batch, codebooks, frames) → samples (batch, frames · 640)."""
    return model.decode(codes[None], [None]).audio_values[:, 0].float()


@torch.no_grad()
def analysis_codes(model, analysis: Analysis, clips: torch.Tensor) -> torch.Tensor:
    """Clips (batch, samples) → codes (batch, codebooks, frames)."""
    return model.quantizer.encode(analysis.whole(clips)).permute(1, 0, 2)


@torch.no_grad()
def round_trip(model, analysis: Analysis, clips: np.ndarray, device: torch.device) -> tuple[np.ndarray, torch.Tensor]:
    """Clips (clips, samples) float32 to codes, by the analysis, and back; and the codes."""
    made, codes = [], []
    for part in np.array_split(clips, max(1, len(clips) // 8)):
        encoded = analysis_codes(model, analysis, torch.from_numpy(part).to(device))
        made.append(decode_codes(model, encoded).cpu().numpy()[:, : clips.shape[1]])
        codes.append(encoded.cpu())
    return np.concatenate(made), torch.cat(codes)


def held_out_clips() -> np.ndarray:
    """(HELD_OUT_CLIPS, samples) float32: some of combinations that nothing was trained on."""
    path = data.shard_file(0, "held-out")
    clips = np.load(path) if path.exists() else np.stack(
        [data.make_clip(seed, "held-out", HELD_OUT_SECONDS)[0] for seed in range(HELD_OUT_CLIPS)]
    )  # fmt: skip
    return clips[:HELD_OUT_CLIPS, : HELD_OUT_SECONDS * SAMPLE_RATE].astype(np.float32) / 32768


def baselines(clips: np.ndarray) -> str:
    """The mel distance of the same clips as MP3 and as Opus; the target that the codec is held to."""
    told = []
    try:
        for kind in ("mp3", "opus"):
            apart = np.mean([measures.mel_distance(clip, measures.compressed(clip, kind)) for clip in clips])
            told.append(f"{kind} 24 kbit/s {apart:.2f} dB")
    except (ImportError, RuntimeError) as fault:  # a machine without libsndfile trains as well
        told.append(f"not measured here ({fault})")
    return ", ".join(told)


def evaluate(model, analysis: Analysis, clips: np.ndarray, device: torch.device) -> str:
    """Mel distance of the round trip, and how many codes of each codebook are in use."""
    from scipy.io import wavfile

    made, codes = round_trip(model, analysis, clips, device)
    for i in range(LISTEN):
        both = np.concatenate([clips[i], made[i]])
        wavfile.write(data.OUT / f"codec-{i}.wav", SAMPLE_RATE, np.round(32767 * both.clip(-1, 1)).astype(np.int16))
    distance = np.mean([measures.mel_distance(a, b) for a, b in zip(clips, made, strict=True)])
    used = quantizer.perplexity(codes, model.config.codebook_size)
    return f"held-out mel distance {distance:.2f} dB, codes in use {used}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    data.OUT.mkdir(parents=True, exist_ok=True)
    device, dtype = device_and_dtype()
    torch.manual_seed(int(time.time()))
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True

    clips = held_out_clips()
    print(f"the target: {baselines(clips)}", flush=True)
    pool = ClipPool(device)
    while not pool.refresh():
        time.sleep(2)  # the first shard is being rendered

    model, analysis, spectral = make_codec().to(device), Analysis().to(device), SpectralLoss().to(device)
    step, spent, quantizing = 0, 0.0, False
    if state_is_there := STATE.is_file():
        state = torch.load(STATE, map_location=device)
        model.load_state_dict(state["model"])
        analysis.load_state_dict(state["analysis"])
        step, spent, quantizing = state["step"], state["spent"], state["quantizing"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")
    else:
        loudness, offsets = analysis.fit_axes(torch.cat([pool.draw(4) for _ in range(AXES_CLIPS)]))
        oscillator_bank.start(model.decoder.cpu(), loudness.cpu(), offsets.cpu())
        model.to(device)
    gates = oscillator_bank.hold_still(model.decoder)
    learnt = [*analysis.parameters(), *gates]
    groups = [{"params": list(analysis.parameters()), "share": 1.0}, {"params": gates, "share": GATES_SHARE}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, weight_decay=0.0)
    if state_is_there:
        optimizer.load_state_dict(state["optimizer"])

    def save() -> None:
        state = {
            "model": model.state_dict(), "analysis": analysis.state_dict(), "optimizer": optimizer.state_dict(),
            "step": step, "spent": spent, "quantizing": quantizing,
        }  # fmt: skip
        torch.save(state, STATE.with_suffix(".part"))
        STATE.with_suffix(".part").rename(STATE)
        save_weights(model, CODEC_FILE, torch.float32, leave="encoder.")  # training.encoder makes that

    looked = evaluated = now = time.perf_counter()
    before, first_step, sums, parts = spent, step, {}, {}
    try:
        while spent < 60 * options.minutes:
            now, last = time.perf_counter(), now
            spent += min(now - last, LONGEST_STEP)
            progress = min(1.0, spent / (60 * options.minutes))
            learning = progress < FREEZE
            rate = LEARNING_RATE[device.type] * share_of_rate(step - first_step, WARM_UP[device.type], progress)
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * rate
            if now - looked > POOL_SECONDS:
                pool.refresh()
                looked = now

            heard = pool.draw(BATCH[device.type])
            true = heard[:, CONTEXT:-CONTEXT]
            with torch.set_grad_enabled(learning):
                latents = analysis(heard)
            if not quantizing and step >= QUANTIZE_FROM:
                with torch.no_grad():
                    rounds = quantizer.KMEANS_VECTORS // (latents.shape[0] * latents.shape[2])
                    many = torch.cat([analysis(pool.draw(BATCH[device.type])) for _ in range(rounds)])
                quantizer.start(model.quantizer, many, latents.shape[0] * latents.shape[2])
                quantizing = True
            if quantizing:
                coarse = torch.rand(len(true), device=device) < (FEWER_BOOKS if learning else 0)
                latents, commitment, _ = quantizer.quantize(model.quantizer, latents, learning=learning, coarse=coarse)
                parts["commitment"] = commitment
            with autocast(device, dtype):
                made = model.decoder(latents)[:, 0, :CROP].float()
            parts["mel"], parts["stft"] = spectral(made, true)
            loss = MEL * parts["mel"] + STFT * parts["stft"] + COMMITMENT * parts.get("commitment", 0)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learnt, CLIP_GRADIENT)
            optimizer.step()
            step += 1

            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + value.detach()
            if step % TELL_STEPS[device.type] == 0:
                speed = (step - first_step) / max(1e-9, spent - before)
                told = ", ".join(f"{name} {float(value) / TELL_STEPS[device.type]:.3f}" for name, value in sums.items())
                print(f"{spent / 60:6.1f} min, step {step} ({speed:.2f}/s): {told}", flush=True)
                sums = {}
            if now - evaluated > EVALUATE_SECONDS:
                save()
                print(evaluate(model, analysis, clips, device), flush=True)
                evaluated = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()
    print(evaluate(model, analysis, clips, device), flush=True)


if __name__ == "__main__":
    main()
