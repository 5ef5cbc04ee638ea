"""Trains EnCodec on rendered clips: python -m training.codec --minutes 120

Needs clips (training.data), which may go on being rendered meanwhile. Stop it at any time; started again it goes on.
Leaves training/out/codec.safetensors, and prints how far held-out clips are from their round trip beside MP3 and Opus.
"""

import argparse
import time

import numpy as np
import torch

from training import data, measures, quantizer
from training.models import CODEC_FILE, device_and_dtype, make_codec, save_weights, warm_codec
from training.oscillators import SAMPLE_RATE
from training.spectral import Discriminator, SpectralLoss, adversarial_loss, discriminator_loss

STATE = data.OUT / "codec.pt"  # everything that going on needs
CROP = SAMPLE_RATE  # samples: 1 s, 50 frames
BATCH = {"cuda": 64, "cpu": 8}
POOL_BYTES = {"cuda": 16 << 30, "cpu": 1 << 30}  # of clips held in memory, int16
LEARNING_RATE = 4e-4  # at its height; falls as a cosine over the time given
WARM_UP = {"cuda": 500, "cpu": 100}  # steps
BETAS = (0.8, 0.99)
CLIP_GRADIENT = 1.0
QUANTIZE_FROM = {"cuda": 1500, "cpu": 300}  # steps as a plain autoencoder, after which k-means sets the codebooks
MEL, STFT, WAVE, COMMITMENT, LOOSE, ADVERSARY = 8.0, 1.0, 1.0, 0.25, 1.0, 0.4  # weights of the losses
ADVERSARIAL_FROM: float | None = 0.5  # share of the time after which the discriminator joins; None: never
GAINS = (-12.0, 3.0)  # dB: what a user gives to be continued has any loudness
TELL_STEPS = {"cuda": 200, "cpu": 20}  # between lines of losses, which are means over them
EVALUATE_SECONDS = 240  # between evaluations; they cost some seconds
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
        """(count, CROP) float32: crops from one shard, which saves gathering from all; each at a gain of its own."""
        part = self.parts[int(torch.randint(len(self.parts), ()))]
        rows = torch.randint(len(part), (count, 1), device=self.device)
        starts = torch.randint(part.shape[1] - CROP, (count, 1), device=self.device)
        crops = part[rows, starts + torch.arange(CROP, device=self.device)].float() / 32768
        decibels = torch.empty(count, 1, device=self.device).uniform_(*GAINS)
        return crops * 10 ** (decibels / 20)


@torch.no_grad()
def round_trip(model, clips: np.ndarray, device: torch.device) -> tuple[np.ndarray, torch.Tensor]:
    """Clips (clips, samples) float32 through the codec, as the app runs it; and their codes."""
    made, codes = [], []
    for part in np.array_split(clips, max(1, len(clips) // 8)):
        encoded = model.encode(torch.from_numpy(part)[:, None].to(device)).audio_codes  # (1, batch, codebooks, frames)
        made.append(model.decode(encoded, [None]).audio_values[:, 0].float().cpu().numpy()[:, : clips.shape[1]])
        codes.append(encoded[0].cpu())
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


def evaluate(model, clips: np.ndarray, device: torch.device) -> str:
    """Mel distance of the round trip, and how many codes of each codebook are in use."""
    from scipy.io import wavfile

    made, codes = round_trip(model, clips, device)
    for i in range(LISTEN):
        both = np.concatenate([clips[i], made[i]])
        wavfile.write(data.OUT / f"codec-{i}.wav", SAMPLE_RATE, np.round(32767 * both.clip(-1, 1)).astype(np.int16))
    distance = np.mean([measures.mel_distance(a, b) for a, b in zip(clips, made, strict=True)])
    used = quantizer.perplexity(codes, model.config.codebook_size)
    return f"held-out mel distance {distance:.2f} dB, codes in use {used}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=120, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    data.OUT.mkdir(parents=True, exist_ok=True)
    device, dtype = device_and_dtype()
    torch.manual_seed(int(time.time()))
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True

    model = make_codec().to(device)
    print(f"codec: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {device}", flush=True)
    judge, spectral = Discriminator().to(device), SpectralLoss().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=BETAS, weight_decay=1e-3)
    judge_optimizer = torch.optim.AdamW(judge.parameters(), lr=LEARNING_RATE / 2, betas=BETAS)
    step, spent, quantizing = 0, 0.0, False
    if STATE.is_file():
        state = torch.load(STATE, map_location=device)
        for name, part in (("model", model), ("judge", judge), ("optimizer", optimizer), ("judges", judge_optimizer)):
            part.load_state_dict(state[name])
        step, spent, quantizing = state["step"], state["spent"], state["quantizing"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")
    elif source := warm_codec(model):
        quantizing = True
        for layer in model.quantizer.layers:
            quantizer.refresh(layer.codebook, BATCH[device.type] * CROP // 640)
        print(f"warm start from {source}")

    def save() -> None:
        state = {
            "model": model.state_dict(), "judge": judge.state_dict(), "optimizer": optimizer.state_dict(),
            "judges": judge_optimizer.state_dict(), "step": step, "spent": spent, "quantizing": quantizing,
        }  # fmt: skip
        torch.save(state, STATE.with_suffix(".part"))
        STATE.with_suffix(".part").rename(STATE)
        save_weights(model, CODEC_FILE, torch.float32)

    clips = held_out_clips()
    print(f"the target: {baselines(clips)}", flush=True)
    pool = ClipPool(device)
    while not pool.refresh():
        time.sleep(2)  # the first shard is being rendered
    looked = evaluated = began = time.perf_counter()
    before, first_step, sums = spent, step, {}
    try:
        while spent < 60 * options.minutes:
            now = time.perf_counter()
            spent = before + now - began
            progress = min(1.0, spent / (60 * options.minutes))
            warm = min(1, (step - first_step + 1) / WARM_UP[device.type])
            rate = LEARNING_RATE * warm * (0.02 + 0.49 * (1 + np.cos(np.pi * progress)))
            for group in (*optimizer.param_groups, *judge_optimizer.param_groups):
                group["lr"] = rate
            if now - looked > POOL_SECONDS:
                pool.refresh()
                looked = now

            true = pool.draw(BATCH[device.type])
            with torch.autocast(device.type, dtype):
                latents = model.encoder(true[:, None])
            if not quantizing and step >= QUANTIZE_FROM[device.type]:
                with torch.no_grad(), torch.autocast(device.type, dtype):
                    many = [latents] + [model.encoder(pool.draw(BATCH[device.type])[:, None]) for _ in range(15)]
                quantizer.start(model.quantizer, torch.cat(many), latents.shape[0] * latents.shape[2])
                quantizing = True
            # Each dimension is held near mean 0, and spread 1 over the time of a clip. Without, latents soon tell no
            # more of a clip than how loud it is, all frames fall to one code, and it takes long to get away from that.
            spread, mean = latents.float().std(2).mean(0), latents.float().mean((0, 2))
            loose = (mean**2 + (spread - 1) ** 2).mean()
            commitment = torch.zeros((), device=device)
            if quantizing:
                latents, commitment, _ = quantizer.quantize(model.quantizer, latents, learning=True)
            with torch.autocast(device.type, dtype):
                made = model.decoder(latents)[:, 0, :CROP].float()
            mel, stft = spectral(made, true)
            wave = (made - true).abs().mean() / true.abs().mean().clamp_min(1e-3)
            loss = MEL * mel + STFT * stft + WAVE * wave + COMMITMENT * commitment + LOOSE * loose
            parts = {"mel": mel, "stft": stft, "wave": wave, "commitment": commitment, "loose": loose}
            if quantizing and ADVERSARIAL_FROM is not None and progress >= ADVERSARIAL_FROM:
                with torch.autocast(device.type, dtype):
                    real, real_features = judge(true)
                    told, _ = judge(made.detach())
                    judgement = discriminator_loss(real, told)
                judge_optimizer.zero_grad()
                judgement.backward()
                judge_optimizer.step()
                judge.requires_grad_(False)
                with torch.autocast(device.type, dtype):
                    with torch.no_grad():
                        real_features = judge(true)[1]
                    told, told_features = judge(made)
                    adversary = adversarial_loss(told, told_features, real_features)
                loss = loss + ADVERSARY * adversary
                parts |= {"judge": judgement, "adversary": adversary}
            optimizer.zero_grad()
            loss.backward()
            judge.requires_grad_(True)
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_GRADIENT)
            optimizer.step()
            step += 1

            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + value.detach()
            if step % TELL_STEPS[device.type] == 0:
                speed = (step - first_step) / (time.perf_counter() - began)
                told = ", ".join(f"{name} {float(value) / TELL_STEPS[device.type]:.3f}" for name, value in sums.items())
                print(f"{spent / 60:6.1f} min, step {step} ({speed:.2f}/s): {told}", flush=True)
                sums = {}
            if now - evaluated > EVALUATE_SECONDS:
                save()
                print(evaluate(model, clips, device), flush=True)
                evaluated = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()
    print(evaluate(model, clips, device), flush=True)


if __name__ == "__main__":
    main()
