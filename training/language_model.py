"""Trains text encoder and decoder on codes: python -m training.language_model [--melody] --minutes 120

Needs codes (training.encode). Stop it at any time; started again it goes on. Without an earlier state it starts from
the other checkpoint's weights or the bundled ones, as far as they fit. Leaves training/out/language-model.safetensors
(or -melody), the loss of each codebook on held-out combinations, and samples to listen to.
"""

import argparse
import math
import time

import numpy as np
import torch
from torch.nn import functional as F

from training import data, nano
from training.encode import CODES
from training.models import (
    CODEC,
    FOLDERS,
    LANGUAGE_MODEL_FILES,
    TEXT_ENCODER_FILE,
    TOKENIZER,
    autocast,
    device_and_dtype,
    is_trained,
    load_weights,
    make_model,
    save_weights,
    warm_codec,
)
from training.random_weights import write_tokenizer

BATCH = {"cuda": 96, "cpu": 2}  # clips of ten seconds; more of shorter ones, fewer of long ones
LEARNING_RATE = {"cuda": 2e-3, "cpu": 2e-3}  # at its height; falls as a cosine over the time given
WARM_UP = {"cuda": 300, "cpu": 100}  # steps
BETAS, WEIGHT_DECAY, CLIP_GRADIENT = (0.9, 0.95), 0.05, 1.0
# share of batches, seconds of the clips, seconds of them that are learnt
LENGTHS = (
    (0.30, data.SECONDS, 0.06),
    (0.10, data.SECONDS, 0.5),
    (0.12, data.SECONDS, 2.5),
    (0.18, data.SECONDS, 5.0),
    (0.28, data.SECONDS, data.SECONDS),
    (0.02, data.LONG_SECONDS, data.LONG_SECONDS),
)
# The melody model is told before its codes (235 places and the words), and short pieces would be hardly anything else.
MELODY_LENGTHS = ((0.15, data.SECONDS, 2.5), (0.35, data.SECONDS, 5.0), (0.5, data.SECONDS, data.SECONDS))
# Longer pieces foretell themselves, and what words mean isn't found among all that. So the shortest are a few frames
# each, several of one caption, and are learnt to be likelier with it than with another's (see `losses`).
SHORTEST, PIECES = 0.1, 4
ANYWHERE = 2.0  # seconds below which a piece is from anywhere in its clip, lest beginnings are learnt by heart
NO_TEXT, NO_CHROMA, NOTHING = 0.08, 0.15, 0.08  # shares of rows without: for guidance, and for who gives only one
CONTRAST = 1.0  # weight of the contrast beside the mean cross-entropy
CODEBOOK_WEIGHTS = (1.6, 1.0, 0.8, 0.6)  # of the losses: what the first gets wrong is heard most
TEXT_TOKENS = 48  # longer captions are cut
TEXT_STEP = 8  # captions are padded to a multiple, so that few shapes are compiled
COMPILE = {"cuda": True, "cpu": False}
LONGEST_STEP = 10.0  # seconds that a step counts for at most: a paused process uses none
EVALUATE_SECONDS = {"cuda": 120, "cpu": 300}
HELD_OUT_BATCHES = 4
FRAME_RATE = 50
CHROMA_RATE = nano.SAMPLING_RATE / nano.CHROMA["hop_length"]  # per second
PAD = nano.CODEBOOK_SIZE  # starts every row, and stands where the delay leaves no code
SAMPLES = ("slow bells in D minor", "upbeat chiptune with drums", "慢速的钢琴曲，没有鼓", "happy birthday party")
TOKENIZER_PIECES = 4_000  # of music whose captions the tokenizer is made of


def delayed(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """codes (batch, codebooks, frames) → inputs and targets (batch, codebooks, frames + codebooks − 1).

    Codebook k lags k steps behind, as `build_delay_pattern_mask` has it; a target of PAD isn't learnt.
    """
    batch, books, frames = codes.shape
    rows = torch.full((batch, books, frames + books), PAD, dtype=torch.long, device=codes.device)
    for k in range(books):
        rows[:, k, 1 + k : 1 + k + frames] = codes[:, k]
    return rows[:, :, :-1], rows[:, :, 1:]


class Codes:
    """A split's codes, chroma and tokenized captions in the device's memory, by how long the clips are."""

    def __init__(self, split: str, tokenizer, device: torch.device, melody: bool = False):
        self.device, self.parts = device, {}
        self.lengths = MELODY_LENGTHS if melody else LENGTHS
        self.before = nano.CHROMA_LENGTH if melody else 0  # places ahead of the codes
        for seconds in (data.SECONDS, data.LONG_SECONDS):
            loaded = [np.load(path) for path in data.shards(split, CODES, seconds)]
            if not loaded:
                continue
            captions = np.concatenate([shard["captions"] for shard in loaded])  # (clips, CAPTIONS)
            text = tokenizer(captions.ravel().tolist(), padding="max_length", truncation=True, max_length=TEXT_TOKENS)
            ids = np.array(text["input_ids"], np.int16).reshape(*captions.shape, TEXT_TOKENS)
            parts = [np.concatenate([shard[name] for shard in loaded]) for name in ("codes", "chroma")]
            self.parts[seconds] = [torch.from_numpy(part).to(device) for part in (*parts, ids)]

    def __len__(self) -> int:
        return sum(len(codes) for codes, _, _ in self.parts.values())

    def draw(self, count: int, generator: torch.Generator | None = None, seconds: float = 0.0):
        """codes (batch, codebooks, frames), chroma (batch, frames), ids (captions, tokens) as short as they go.

        A caption's rows follow each other: one, or PIECES where they are of the shortest.
        """
        heard = seconds
        if not seconds:
            known = [length for length in self.lengths if length[1] in self.parts]
            chances = torch.tensor([share for share, _, _ in known])
            _, seconds, heard = known[int(torch.multinomial(chances, 1, generator=generator))]
        codes, chroma, ids = self.parts[seconds]
        frames = int(heard * FRAME_RATE)
        pieces = PIECES if heard < SHORTEST else 1
        steps = (self.before + data.SECONDS * FRAME_RATE) / (self.before + frames + nano.CODEBOOKS - 1)
        captions = max(1, int(count * steps / pieces))
        rows = torch.randint(len(codes), (captions,), generator=generator).to(self.device)
        which = torch.randint(ids.shape[1], (captions,), generator=generator).to(self.device)
        ids = ids[rows, which].long()
        longest = int((ids != 0).sum(1).max())
        rows = rows.repeat_interleave(pieces)
        count = len(rows)
        start = torch.zeros(count, 1, dtype=torch.long)
        if heard < ANYWHERE:
            start = torch.randint(codes.shape[2] - frames, (count, 1), generator=generator)
        places = (start + torch.arange(frames)).to(self.device)
        codes = codes[rows[:, None], :, places].transpose(1, 2)
        steps = torch.arange(chroma.shape[1]) + (start / FRAME_RATE * CHROMA_RATE).round().long()
        chroma = chroma[rows[:, None], (steps % chroma.shape[1]).to(self.device)]  # from where the codes begin
        return codes.long(), chroma.long(), ids[:, : -(-longest // TEXT_STEP) * TEXT_STEP]


def text_states(model, ids) -> tuple[torch.Tensor, torch.Tensor]:
    """What the text encoder makes of ids (captions, tokens): states (captions, tokens, width) and their mask."""
    mask = (ids != 0).long()
    states = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    if hasattr(model, "enc_to_dec_proj"):
        states = model.enc_to_dec_proj(states)
    return states * mask[..., None], mask


def conditions(model, melody: bool, chroma, states, mask, kept_text, kept_chroma):
    """What the decoder is told, as the model's `forward` puts it: states (batch, places, width) and their mask.

    Rows that are not kept get `generate`'s null conditions: text states of zeros, and the pitch class C all the time.
    The text encoder always sees its true mask, and zeros stay unmasked (they add nothing, whatever attends to them):
    a row that is masked out altogether becomes not-a-number in bfloat16.
    """
    pieces = len(chroma) // len(states)
    states, mask = states.repeat_interleave(pieces, 0), mask.repeat_interleave(pieces, 0)
    states = states * kept_text[:, None, None]
    if not melody:
        return states, mask
    one_hot = F.one_hot(torch.where(kept_chroma[:, None].bool(), chroma, 0), 12).float()
    repeats = -(-nano.CHROMA_LENGTH // one_hot.shape[1])  # a short melody begins again
    one_hot = one_hot.repeat(1, repeats, 1)[:, : nano.CHROMA_LENGTH]
    return torch.cat([model.audio_enc_to_dec_proj(one_hot), states], 1), None  # before the codes, unmasked


def losses(model, decoder, melody: bool, batch, kept_text, kept_chroma, dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of each codebook (codebooks,), in nats; and, for the shortest pieces, the contrast, else 0.

    The contrast is −log of how sure the model is which of two captions a piece belongs to, its own or the next one's
    (a pair of InfoNCE, van den Oord et al. 2018): what doesn't depend on the words cancels in it.
    `decoder` is the model's, compiled or not.
    """
    codes, chroma, ids = batch
    inputs, targets = delayed(codes)
    states, mask = text_states(model, ids)

    def each(states, mask) -> torch.Tensor:
        """(batch, codebooks, steps), in nats; 0 where nothing is learnt"""
        states, mask = conditions(model, melody, chroma, states, mask, kept_text, kept_chroma)
        with autocast(codes.device, dtype):
            logits = decoder(
                input_ids=inputs.flatten(0, 1),
                encoder_hidden_states=states,
                encoder_attention_mask=mask,
                use_cache=False,
            ).logits[:, -inputs.shape[-1] :]
        logits = logits.unflatten(0, targets.shape[:2]).float()  # (batch, codebooks, steps, codes)
        return F.cross_entropy(logits.permute(0, 3, 1, 2), targets, ignore_index=PAD, reduction="none")

    own = each(states, mask)
    contrast = own.new_zeros(())
    if len(ids) < len(codes):
        weights = torch.tensor(CODEBOOK_WEIGHTS, device=own.device)[:, None]
        worse = each(states.roll(1, 0), mask.roll(1, 0)) - own
        contrast = F.softplus(-(worse * weights).sum((1, 2))).mean()
    return own.sum((0, 2)) / (targets != PAD).sum((0, 2)), contrast


@torch.no_grad()
def held_out_losses(model, decoder, melody: bool, codes: Codes, size: int, dtype) -> str:
    """Per codebook, on combinations never trained on; and without conditions, which says what those are worth."""
    told = []
    for kept in (1, 0):
        generator = torch.Generator().manual_seed(1)
        total = 0
        for _ in range(HELD_OUT_BATCHES):
            batch = codes.draw(size, generator, data.SECONDS)
            keep = torch.full((len(batch[0]),), kept, device=codes.device)
            total = total + losses(model, decoder, melody, batch, keep, keep, dtype)[0] / HELD_OUT_BATCHES
        told.append(" ".join(f"{value:.3f}" for value in total.tolist()) + f" (mean {total.mean():.3f})")
    return f"held-out loss per codebook {told[0]}, unconditioned {told[1]}"


@torch.no_grad()
def write_samples(model, melody: bool, tokenizer, codes: Codes) -> None:
    """Ten seconds of each of SAMPLES; a melody model follows held-out clips' melodies."""
    from scipy.io import wavfile

    text = tokenizer(list(SAMPLES), padding=True, return_tensors="pt").to(codes.device)
    inputs = {"input_ids": text.input_ids, "attention_mask": text.attention_mask}
    if melody:
        chroma = codes.parts[data.SECONDS][1][: len(SAMPLES)].long()
        inputs["input_features"] = F.one_hot(chroma, 12).float()
    model.generation_config.max_new_tokens = nano.MAX_NEW_TOKENS
    audio = model.generate(**inputs, do_sample=True, guidance_scale=3.0)[:, 0].float().cpu().numpy()
    for i, clip in enumerate(audio):
        name = f"sample{'-melody' if melody else ''}-{i}.wav"
        wavfile.write(data.OUT / name, nano.SAMPLING_RATE, np.round(32767 * clip.clip(-1, 1)).astype(np.int16))


def make_tokenizer():
    """The tokenizer of both checkpoints, made once of captions, and kept: its pieces differ from run to run."""
    from transformers import AutoTokenizer

    if not (TOKENIZER / "tokenizer.json").is_file():
        if all(is_trained(folder) for folder in FOLDERS.values()):
            return AutoTokenizer.from_pretrained(FOLDERS[False])
        TOKENIZER.mkdir(parents=True, exist_ok=True)
        texts = [text for seed in range(TOKENIZER_PIECES) for text in data.caption_clip(data.draw_clip(seed), seed)]
        write_tokenizer(TOKENIZER, texts, nano.TEXT_VOCABULARY)
    return AutoTokenizer.from_pretrained(TOKENIZER)


def warm_start(model, melody: bool) -> str:
    """Weights from training's own files or the bundled checkpoints, this kind's first, else the other's."""
    for kind in (melody, not melody):
        if LANGUAGE_MODEL_FILES[kind].is_file():
            return f"{load_weights(model, LANGUAGE_MODEL_FILES[kind])} tensors of {LANGUAGE_MODEL_FILES[kind].name}"
        if is_trained(FOLDERS[kind]):
            return f"{load_weights(model, FOLDERS[kind] / 'model.safetensors')} tensors of {FOLDERS[kind].name}"
    if TEXT_ENCODER_FILE.is_file():
        return f"{load_weights(model.text_encoder, TEXT_ENCODER_FILE)} tensors of {TEXT_ENCODER_FILE.name}"
    return "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--melody", action="store_true", help="the checkpoint that follows a melody")
    parser.add_argument("--minutes", type=float, default=120, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    melody = options.melody
    device, dtype = device_and_dtype()
    size = BATCH[device.type]
    torch.manual_seed(int(time.time()))
    torch.set_float32_matmul_precision("high")

    tokenizer = make_tokenizer()
    model = make_model(melody)
    state_file = data.OUT / f"language-model{'-melody' if melody else ''}.pt"
    learnt = [parameter for name, parameter in model.named_parameters() if not name.startswith(CODEC)]
    count = sum(parameter.numel() for parameter in learnt) / 1e6
    print(f"text encoder and decoder: {count:.2f} M parameters, {device}; starts from {warm_start(model, melody)}")
    print(f"codec from {warm_codec(model.audio_encoder) or 'nowhere: random weights'}", flush=True)
    model.audio_encoder.requires_grad_(False)
    model.to(device).eval()  # nothing is dropped out, and the reference's layerdrop would break the compiled graph
    groups = [
        {"params": [p for p in learnt if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS)
    step, spent = 0, 0.0
    if state_file.is_file():
        state = torch.load(state_file, map_location=device)
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")

    def save() -> None:
        own = {name: value for name, value in model.state_dict().items() if not name.startswith(CODEC)}
        state = {"model": own, "optimizer": optimizer.state_dict(), "step": step, "spent": spent}
        torch.save(state, state_file.with_suffix(".part"))
        state_file.with_suffix(".part").rename(state_file)
        save_weights(model, LANGUAGE_MODEL_FILES[melody], torch.float16, leave=CODEC)

    train, held_out = (Codes(split, tokenizer, device, melody) for split in ("train", "held-out"))
    print(f"{len(train)} clips to learn from, {len(held_out)} held out", flush=True)
    decoder = torch.compile(model.decoder) if COMPILE[device.type] else model.decoder
    weights = torch.tensor(CODEBOOK_WEIGHTS, device=device)
    weights = weights / weights.sum()
    evaluated = now = time.perf_counter()
    before, first_step, total = spent, step, torch.zeros(nano.CODEBOOKS, device=device)
    contrasts: list[float] = []
    try:
        while spent < 60 * options.minutes:
            now, last = time.perf_counter(), now
            spent += min(now - last, LONGEST_STEP)
            progress = min(1.0, spent / (60 * options.minutes))
            warm = min(1, (step - first_step + 1) / WARM_UP[device.type])
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE[device.type] * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))
            batch = train.draw(size)
            chance = torch.rand(3, len(batch[0]), device=device)
            something = chance[0] >= NOTHING
            kept_text = (something & (chance[1] >= NO_TEXT)).long()
            kept_chroma = (something & (chance[2] >= NO_CHROMA)).long()
            each, contrast = losses(model, decoder, melody, batch, kept_text, kept_chroma, dtype)
            optimizer.zero_grad()
            ((each * weights).sum() + CONTRAST * contrast).backward()
            torch.nn.utils.clip_grad_norm_(learnt, CLIP_GRADIENT)
            optimizer.step()
            step += 1
            total += each.detach()
            if len(batch[2]) < len(batch[0]):
                contrasts.append(float(contrast.detach()))
            if step % 100 == 0:
                speed = (step - first_step) / max(1e-9, spent - before)
                told = " ".join(f"{value / 100:.3f}" for value in total.tolist())
                clips = step * size / max(1, len(train))
                if contrasts:
                    told += f", contrast {np.mean(contrasts):.3f}"
                print(f"{spent / 60:6.1f} min, step {step} ({speed:.2f}/s, {clips:.1f} rounds): {told}", flush=True)
                total.zero_()
                contrasts.clear()
            if now - evaluated > EVALUATE_SECONDS[device.type]:
                save()
                print(held_out_losses(model, decoder, melody, held_out, size, dtype), flush=True)
                evaluated = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()
    print(held_out_losses(model, decoder, melody, held_out, size, dtype), flush=True)
    write_samples(model, melody, tokenizer, held_out)


if __name__ == "__main__":
    main()
