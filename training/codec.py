"""Trains EnCodec on rendered clips: python -m training.codec --minutes 120

Needs clips (training.data), which may go on being rendered meanwhile. Stop it at any time; started again it goes on.
Leaves training/out/codec.safetensors, and prints how far held-out clips are from their round trip beside MP3 and Opus.
"""

import argparse
import math
import time

import numpy as np
import torch

from training import data, measures, quantizer
from training.models import CODEC_FILE, autocast, device_and_dtype, even_out, make_codec, save_weights, warm_codec
from training.oscillators import SAMPLE_RATE
from training.spectral import Discriminator, SpectralLoss, adversarial_loss, discriminator_loss

STATE = data.OUT / "codec.pt"  # everything that going on needs
DECODER_STATE = data.OUT / "codec-decoder.pt"  # the same with --decoder-only
CROP = SAMPLE_RATE // 2  # samples: 25 frames; steps are what a short time lacks
BATCH = {"cuda": 64, "cpu": 8}
POOL_BYTES = {"cuda": 16 << 30, "cpu": 1 << 30}  # of clips held in memory, int16
LEARNING_RATE = {"cuda": 4e-4, "cpu": 1e-3}  # at its height; falls as a cosine over the time given
WARM_UP = {"cuda": 500, "cpu": 100}  # steps
BETAS = (0.8, 0.99)
CLIP_GRADIENT = 1.0
QUANTIZE_FROM = {"cuda": 1500, "cpu": 400}  # steps as a noisy autoencoder, after which k-means sets the codebooks
NOISE = 0.2  # beside latents of spread 1, until then: what matters little is not told, which leaves few dimensions
FEWER_BOOKS = 0.3  # share of rows that only the first one to three codebooks tell of
MEL, STFT, WAVE, COMMITMENT, LOOSE, ADVERSARY = 8.0, 1.0, 1.0, 0.25, 0.5, 0.4  # weights of the losses
ADVERSARIAL_FROM = {"cuda": 0.5, "cpu": 2.0}  # share of the time after which the discriminator joins; 2: never
GAINS = (-5.0, 2.0)  # dB: codes that tell levels tell less of the music
LONGEST_STEP = 5.0  # seconds that a step counts for at most: a paused process uses no time
TELL_STEPS = {"cuda": 200, "cpu": 50}  # between lines of losses, which are means over them
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
    parser.add_argument(
        "--decoder-only", action="store_true", help="leave encoder and codebooks as they are: old codes stay valid"
    )
    options = parser.parse_args()
    data.OUT.mkdir(parents=True, exist_ok=True)
    device, dtype = device_and_dtype()
    torch.manual_seed(int(time.time()))
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True

    model = make_codec().to(device)
    print(f"codec: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, {device}", flush=True)
    judge, spectral = Discriminator().to(device), SpectralLoss().to(device)
    learnt = list((model.decoder if options.decoder_only else model).parameters())
    optimizer = torch.optim.AdamW(learnt, lr=0.0, betas=BETAS, weight_decay=1e-3)
    judge_optimizer = torch.optim.AdamW(judge.parameters(), lr=0.0, betas=BETAS)
    step, spent, quantizing, fresh = 0, 0.0, False, False
    state_file = DECODER_STATE if options.decoder_only else STATE
    if state_file.is_file():
        state = torch.load(state_file, map_location=device)
        for name, part in (("model", model), ("judge", judge), ("optimizer", optimizer), ("judges", judge_optimizer)):
            part.load_state_dict(state[name])
        step, spent, quantizing = state["step"], state["spent"], state["quantizing"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")
    elif source := warm_codec(model):
        quantizing = True
        for layer in model.quantizer.layers:
            quantizer.refresh(layer.codebook, BATCH[device.type] * CROP // 640)
        print(f"warm start from {source}")
    elif options.decoder_only:
        raise SystemExit("there is no trained codec whose decoder could learn on")
    else:
        fresh = True
    for part in (model.encoder, model.quantizer):
        part.requires_grad_(not options.decoder_only)

    def save() -> None:
        state = {
            "model": model.state_dict(), "judge": judge.state_dict(), "optimizer": optimizer.state_dict(),
            "judges": judge_optimizer.state_dict(), "step": step, "spent": spent, "quantizing": quantizing,
        }  # fmt: skip
        torch.save(state, state_file.with_suffix(".part"))
        state_file.with_suffix(".part").rename(state_file)
        save_weights(model, CODEC_FILE, torch.float32)

    clips = held_out_clips()
    print(f"the target: {baselines(clips)}", flush=True)
    pool = ClipPool(device)
    while not pool.refresh():
        time.sleep(2)  # the first shard is being rendered
    if fresh:
        even_out(model, pool.draw(32)[:, None])
    looked = evaluated = now = time.perf_counter()
    before, first_step, sums = spent, step, {}
    try:
        while spent < 60 * options.minutes:
            now, last = time.perf_counter(), now
            spent += min(now - last, LONGEST_STEP)
            progress = min(1.0, spent / (60 * options.minutes))
            warm = min(1, (step - first_step + 1) / WARM_UP[device.type])
            rate = LEARNING_RATE[device.type] * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
            for group in (*optimizer.param_groups, *judge_optimizer.param_groups):
                group["lr"] = rate
            if now - looked > POOL_SECONDS:
                pool.refresh()
                looked = now

            true = pool.draw(BATCH[device.type])
            with autocast(device, dtype), torch.set_grad_enabled(not options.decoder_only):
                latents = model.encoder(true[:, None])
            if not quantizing and step >= QUANTIZE_FROM[device.type]:
                with torch.no_grad(), autocast(device, dtype):
                    rounds = quantizer.KMEANS_VECTORS // (latents.shape[0] * latents.shape[2])
                    more = [model.encoder(pool.draw(BATCH[device.type])[:, None]) for _ in range(rounds)]
                    many = [latents, *more]
                quantizer.start(model.quantizer, torch.cat(many), latents.shape[0] * latents.shape[2])
                quantizing = True
            # Latents are held near mean 0 and spread 1 over the time of a clip, else they soon tell no more of a clip
            # than how loud it is. Only the mean spread is: spread alike in all dimensions they'd be hard to quantize.
            spread, mean = latents.float().std(2).mean(), latents.float().mean((0, 2))
            loose = (mean**2).mean() + (spread - 1) ** 2
            commitment = torch.zeros((), device=device)
            if quantizing:
                few = torch.rand(len(true), device=device) < FEWER_BOOKS
                books = len(model.quantizer.layers)
                stages = torch.where(few, torch.randint(1, books, (len(true),), device=device), books)
                latents, commitment, _ = quantizer.quantize(
                    model.quantizer, latents, learning=not options.decoder_only, stages=stages
                )
            else:
                latents = latents + NOISE * torch.randn_like(latents)
            with autocast(device, dtype):
                made = model.decoder(latents)[:, 0, :CROP].float()
            mel, stft = spectral(made, true)
            wave = (made - true).abs().mean() / true.abs().mean().clamp_min(1e-3)
            loss = MEL * mel + STFT * stft + WAVE * wave + COMMITMENT * commitment + LOOSE * loose
            parts = {"mel": mel, "stft": stft, "wave": wave, "commitment": commitment, "loose": loose}
            if quantizing and progress >= ADVERSARIAL_FROM[device.type]:
                with autocast(device, dtype):
                    real, real_features = judge(true)
                    told, _ = judge(made.detach())
                    judgement = discriminator_loss(real, told)
                judge_optimizer.zero_grad()
                judgement.backward()
                judge_optimizer.step()
                judge.requires_grad_(False)
                with autocast(device, dtype):
                    with torch.no_grad():
                        real_features = judge(true)[1]
                    told, told_features = judge(made)
                    adversary = adversarial_loss(told, told_features, real_features)
                loss = loss + ADVERSARY * adversary
                parts |= {"judge": judgement, "adversary": adversary}
            optimizer.zero_grad()
            loss.backward()
            judge.requires_grad_(True)
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
                print(evaluate(model, clips, device), flush=True)
                evaluated = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()
    print(evaluate(model, clips, device), flush=True)


if __name__ == "__main__":
    main()
