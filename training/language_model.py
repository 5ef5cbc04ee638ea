"""Trains the decoder on codes: python -m training.language_model [--melody] --minutes 120

Needs codes (training.encode) and a text encoder that knows captions (training.text_encoder), which stays as it is, as
in MusicGen. Stop it at any time; started again it goes on. Without an earlier state it starts from the other
checkpoint's weights or the bundled ones, as far as they fit. Leaves training/out/language-model.safetensors (or
-melody), the loss of each codebook on held-out combinations, and samples to listen to.
"""

import argparse
import re
import time
from collections import defaultdict
from itertools import product

import numpy as np
import torch
from torch.nn import functional as F

from training import data, decoder, guides, nano
from training.attributes import FRAME_RATE
from training.models import (
    CODEC,
    FOLDERS,
    LANGUAGE_MODEL_FILES,
    TEXT_ENCODER_FILE,
    autocast,
    device_and_dtype,
    is_trained,
    load_weights,
    make_model,
    make_tokenizer,
    save_weights,
    share_of_rate,
    warm_codec,
)
from training.muon import Muon
from training.pieces import FURTHER_LENGTHS, LENGTHS, LOOPED_FROM, MELODY_LENGTHS, Batch, Codes

BATCH = {"cuda": 64, "cpu": 4}  # clips of ten seconds; more of shorter ones, fewer of long ones
LEARNING_RATE = {"cuda": 1.5e-3, "cpu": 6e-4}  # at its height; falls as a cosine over the time given
WARM_UP = {"cuda": 300, "cpu": 100}  # steps
BETAS, WEIGHT_DECAY, CLIP_GRADIENT = (0.9, 0.95), 0.1, 1.0
UNLEARNT = 0.3, 0.6  # the least and the largest share of a cut piece
FURTHER = {"cuda": (64, 3e-4), "cpu": (8, 1.5e-4)}  # batch, rate; training/README.md says what others did
NO_TEXT, NO_CHROMA, NOTHING = 0.08, 0.15, 0.08  # shares of rows without: for guidance, and for who gives only one
HEARS = re.compile("enc_to_dec_proj|encoder_attn")  # what hears words and melodies
REST_SHARE = 0.7  # of the learning rate, for what doesn't hear words
# What a user's clip begins a continuation with are the encoder's codes, which flicker: in so many of the longer pieces
# the beginning is heard as codes near to the true ones, by these shares of frames, and isn't learnt.
FLICKERING, LONGEST_FLICKER, FLICKER, NEAR = 0.25, 0.6, (0.3, 0.6, 0.6, 0.6), 16
CODEBOOK_WEIGHTS = (1.4, 0.7, 1.1, 0.8)  # of the losses: by what is heard most of what a codebook gets wrong
LONGEST_STEP = 10.0  # seconds that a step counts for at most: a paused process uses none
EVALUATE_SECONDS = {"cuda": 120, "cpu": 300}
HELD_OUT_BATCHES = 4
PAD = nano.CODEBOOK_SIZE  # starts every row, and stands where the delay leaves no code
SAMPLES = ("slow bells in D minor", "upbeat chiptune with drums", "慢速的钢琴曲，没有鼓", "happy birthday party")
REFRESH_SECONDS = 15  # between looks for new shards of codes


def delayed(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """codes (batch, codebooks, frames) → inputs and targets (batch, codebooks, frames + codebooks − 1).

    Codebook k lags k steps behind, as `build_delay_pattern_mask` has it; a target of PAD isn't learnt.
    """
    batch, books, frames = codes.shape
    rows = torch.full((batch, books, frames + books), PAD, dtype=torch.long, device=codes.device)
    for k in range(books):
        rows[:, k, 1 + k : 1 + k + frames] = codes[:, k]
    return rows[:, :, :-1], rows[:, :, 1:]


def text_states(model, ids) -> tuple[torch.Tensor, torch.Tensor]:
    """What the decoder is told of ids (captions, tokens): states (captions, tokens, width) and their mask."""
    mask = (ids != 0).long()
    with torch.no_grad():
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


class Flicker:
    """Makes beginnings flicker: each code may be heard as one of those next to it."""

    def __init__(self, codec):
        books = torch.stack([layer.codebook.embed for layer in codec.quantizer.layers]).float()
        self.near = torch.cdist(books, books).topk(NEAR, largest=False).indices  # (codebooks, codes, NEAR)
        self.shares = torch.tensor(FLICKER, device=books.device)[:, None]

    def __call__(self, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """codes (rows, codebooks, frames) → as they are heard, and as they are learnt, PAD where they aren't."""
        rows, books, frames = codes.shape
        chance = torch.rand(2, rows, 1, 1, device=codes.device)
        share = torch.where(chance[0] < FLICKERING, LONGEST_FLICKER * chance[1], 0)
        beginning = torch.arange(frames, device=codes.device) < share * frames
        moved = beginning & (torch.rand(codes.shape, device=codes.device) < self.shares)
        which = torch.randint(NEAR, codes.shape, device=codes.device)
        others = self.near[torch.arange(books, device=codes.device)[:, None], codes, which]
        return torch.where(moved, others, codes), codes.masked_fill(beginning, PAD)


def unlearnt(codes: torch.Tensor) -> torch.Tensor:
    """codes (rows, codebooks, frames), PAD where they begin."""
    rows, _, frames = codes.shape
    least, largest = UNLEARNT
    until = frames * (least + (largest - least) * torch.rand(rows, 1, 1, device=codes.device))
    return codes.masked_fill(torch.arange(frames, device=codes.device) < until, PAD)


def losses(model, melody: bool, batch: Batch, kept_text, kept_chroma, dtype, flicker=None, watch=None) -> torch.Tensor:
    """Cross-entropy of each codebook (codebooks,), in nats. watch: as in `decoder.logits`.

    flicker: for beginnings of longer pieces.
    """
    heard, learnt = batch.codes, batch.codes
    if flicker and batch.codes.shape[2] >= LOOPED_FROM * FRAME_RATE:
        heard, learnt = flicker(batch.codes)
    if batch.cut:
        learnt = unlearnt(learnt)
    inputs, targets = delayed(heard)[0], delayed(learnt)[1]
    targets = targets.transpose(1, 2).contiguous()  # (batch, steps, codebooks)
    states, mask = conditions(model, melody, batch.chroma, *text_states(model, batch.ids), kept_text, kept_chroma)
    with autocast(batch.codes.device, dtype):
        logits = decoder.logits(model.decoder, inputs, states, mask, watch, batch.place)
    return decoder.cross_entropies(logits, targets, PAD)


@torch.no_grad()
def held_out_losses(model, melody: bool, codes: Codes, size: int, dtype) -> str:
    """Per codebook, on combinations never trained on; and without conditions, which says what those are worth."""
    told = []
    for kept in (1, 0):
        generator = torch.Generator(codes.device).manual_seed(1)
        total = 0
        for _ in range(HELD_OUT_BATCHES):
            batch = codes.draw(size, generator, data.SECONDS)
            keep = torch.full((len(batch.codes),), kept, device=codes.device)
            total = total + losses(model, melody, batch, keep, keep, dtype) / HELD_OUT_BATCHES
        told.append(" ".join(f"{value:.3f}" for value in total.tolist()) + f" (mean {total.mean():.3f})")
    return f"held-out loss per codebook {told[0]}, unconditioned {told[1]}"


@torch.no_grad()
def write_samples(model, melody: bool, tokenizer, codes: Codes) -> None:
    """Ten seconds of each of SAMPLES; a melody model follows held-out clips' melodies."""
    from scipy.io import wavfile

    text = tokenizer(list(SAMPLES), padding=True, return_tensors="pt").to(codes.device)
    inputs = {"input_ids": text.input_ids, "attention_mask": text.attention_mask}
    if melody:
        chroma = codes.parts[data.SECONDS]["chroma"][: len(SAMPLES)].long()
        inputs["input_features"] = F.one_hot(chroma, 12).float()
    model.generation_config.max_new_tokens = nano.MAX_NEW_TOKENS
    audio = model.generate(**inputs, do_sample=True, guidance_scale=3.0)[:, 0].float().cpu().numpy()
    for i, clip in enumerate(audio):
        name = f"sample{'-melody' if melody else ''}-{i}.wav"
        wavfile.write(data.OUT / name, nano.SAMPLING_RATE, np.round(32767 * clip.clip(-1, 1)).astype(np.int16))


@torch.no_grad()
def warm_start(model, melody: bool) -> str:
    """Weights from training's own files or the bundled checkpoints, this kind's first, else the other's.

    The text encoder is training's own if there is one. If that is another than the decoder has learnt to hear, hearing
    starts anew: in an unknown language every word says something, and loudly.
    """
    fresh = {name: value.clone() for name, value in model.named_parameters() if HEARS.search(name)}
    told = []
    for kind in (melody, not melody):
        for path in (LANGUAGE_MODEL_FILES[kind], FOLDERS[kind] / "model.safetensors"):
            if not told and path.is_file() and (path.parent != FOLDERS[kind] or is_trained(FOLDERS[kind])):
                told.append(f"{load_weights(model, path)} tensors of {path.relative_to(path.parents[1])}")
    if not told:
        guides.start(model.decoder.model.decoder)
    heard = model.text_encoder.shared.weight.clone()
    if TEXT_ENCODER_FILE.is_file():
        told.append(f"{load_weights(model.text_encoder, TEXT_ENCODER_FILE)} tensors of {TEXT_ENCODER_FILE.name}")
        if not torch.allclose(heard, model.text_encoder.shared.weight, atol=0.01):  # more than float16 changes
            model.load_state_dict(fresh, strict=False)
            told.append("a text encoder to be heard anew")
    return ", ".join(told) or "nothing"


def make_optimizers(named, questions) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for embeddings, heads and vectors.

    Each group has its "share" of the learning rate: what hears words, by HEARS, learns at the full one.
    """
    groups = {True: [], False: []}  # by whether these are the layers' matrices
    for inner, hears, matrices in product((True, False), repeat=3):
        some = [
            parameter
            for name, parameter in named
            if (parameter.ndim > 1) == matrices
            and (HEARS.search(name) is not None) == hears
            and (parameter.ndim > 1 and ".layers." in name) == inner
        ]
        if some:
            decay = WEIGHT_DECAY if matrices else 0.0
            groups[inner].append({"params": some, "share": 1.0 if hears else REST_SHARE, "weight_decay": decay})
    groups[False].append({"params": list(questions.parameters()), "share": 1.0, "weight_decay": 0.0})
    fused = next(questions.parameters()).is_cuda
    return [Muon(groups[True]), torch.optim.AdamW(groups[False], lr=0.0, betas=BETAS, fused=fused)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--melody", action="store_true", help="the checkpoint that follows a melody")
    parser.add_argument("--further", action="store_true", help="gently, for the text model that is trained already")
    parser.add_argument("--minutes", type=float, default=120, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    if options.further and options.melody:
        parser.error("--further is for the text model")
    melody = options.melody
    device, dtype = device_and_dtype()
    size, rate = FURTHER[device.type] if options.further else (BATCH[device.type], LEARNING_RATE[device.type])
    lengths = FURTHER_LENGTHS if options.further else MELODY_LENGTHS if melody else LENGTHS
    torch.manual_seed(int(time.time()))
    torch.set_float32_matmul_precision("high")

    tokenizer = make_tokenizer()
    model = make_model(melody)
    state_file = data.OUT / f"language-model{'-melody' if melody else ''}.pt"
    model.text_encoder.requires_grad_(False)
    model.audio_encoder.requires_grad_(False)
    questions = guides.Questions()
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    learnt = [*(parameter for _, parameter in named), *questions.parameters()]
    count = sum(parameter.numel() for parameter in learnt) / 1e6
    print(f"decoder: {count:.2f} M parameters, {device}; starts from {warm_start(model, melody)}")
    print(f"codec from {warm_codec(model.audio_encoder) or 'nowhere: random weights'}", flush=True)
    model.to(device).eval()  # nothing is dropped out
    questions.to(device)
    flicker = Flicker(model.audio_encoder)
    optimizers = make_optimizers(named, questions)
    if device.type == "cuda":  # what is done in one go needn't go through memory
        decoder.block = torch.compile(decoder.block, dynamic=True)
        decoder.cross_entropies = torch.compile(decoder.cross_entropies, dynamic=True)
    step, spent = 0, 0.0
    if state_file.is_file():
        state = torch.load(state_file, map_location=device)
        model.load_state_dict(state["model"], strict=False)
        questions.load_state_dict(state["questions"])
        for optimizer, known in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(known)
        step, spent = state["step"], state["spent"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")

    def save() -> None:
        own = {name: value for name, value in model.state_dict().items() if not name.startswith(CODEC)}
        state = {"model": own, "questions": questions.state_dict(), "step": step, "spent": spent}
        state["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
        torch.save(state, state_file.with_suffix(".part"))
        state_file.with_suffix(".part").rename(state_file)
        save_weights(model, LANGUAGE_MODEL_FILES[melody], torch.float16, leave=CODEC)

    train, held_out = (Codes(split, device, melody, lengths) for split in ("train", "held-out"))
    print(f"{len(train)} clips to learn from, {len(held_out)} held out", flush=True)
    weights = torch.tensor(CODEBOOK_WEIGHTS, device=device)
    weights = weights / weights.sum()
    evaluated = looked = now = time.perf_counter()
    before, first_step, totals = spent, step, defaultdict(list)
    try:
        while spent < 60 * options.minutes:
            now, last = time.perf_counter(), now
            spent += min(now - last, LONGEST_STEP)
            now_rate = rate * share_of_rate(step - first_step, WARM_UP[device.type], spent / (60 * options.minutes))
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = group["share"] * now_rate
            if now - looked > REFRESH_SECONDS:
                train.refresh()
                looked = now
            batch = train.draw(size)
            chance = torch.rand(3, len(batch.codes), device=device)
            something = chance[0] >= NOTHING
            kept_text = (something & (chance[1] >= NO_TEXT)).long()
            kept_chroma = (something & (chance[2] >= NO_CHROMA)).long()
            watch = guides.Watch(batch.period, batch.goals, questions, taught=not options.further)
            each = losses(model, melody, batch, kept_text, kept_chroma, dtype, flicker, watch)
            ((each * weights).sum() + watch.loss).backward()
            torch.nn.utils.clip_grad_norm_(learnt, CLIP_GRADIENT)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            told = torch.stack([*each, watch.looks, watch.answers])
            totals[batch.codes.shape[2]].append(told.detach())
            if step % 100 == 0:
                speed = (step - first_step) / max(1e-9, spent - before)
                told = ""
                for frames, some in sorted(totals.items()):
                    told += f", {frames} frames " + " ".join(f"{x:.3f}" for x in torch.stack(some).mean(0).tolist())
                clips = step * size / max(1, len(train))
                print(f"{spent / 60:6.1f} min, step {step} ({speed:.2f}/s, {clips:.1f} rounds){told}", flush=True)
                totals.clear()
            if now - evaluated > EVALUATE_SECONDS[device.type]:
                save()
                print(held_out_losses(model, melody, held_out, size, dtype), flush=True)
                evaluated = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()
    print(held_out_losses(model, melody, held_out, size, dtype), flush=True)
    write_samples(model, melody, tokenizer, held_out)


if __name__ == "__main__":
    main()
