"""Teaches the codec's decoder the codes that language models learn from: python -m training.redecode --minutes 90

It has learnt from the nearest codes, but is to play those of training.encode, which change seldom; and what opens its
gates was so far a line through the codes of seven frames. Now the LSTM's units that make no sound may remember what
came before, and the gates hear them (training.gates). Texture counts, the strength of pitches, how bands rise together
(training.spectral), and what instruments are told by (training.timbre); and what is remembered is asked which
instrument leads. Codebooks, codes and the oscillators stay as they are. Needs training.codec and training.encode. Stop
it at any time; started again it goes on. Leaves training/out/codec.safetensors.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from training import data, measures
from training.codec import (
    EVALUATE_SECONDS,
    HELD_OUT_CLIPS,
    HELD_OUT_SECONDS,
    LONGEST_STEP,
    STFT,
    TELL_STEPS,
    decode_codes,
    held_out_clips,
    load_state,
)
from training.encode import CODES, codes_file
from training.gates import Gates
from training.models import CODEC_FILE, device_and_dtype, save_weights, share_of_rate
from training.nano import MAX_LENGTH
from training.oscillator_bank import FRAME_RATE, HOP
from training.spectral import OnsetLoss, PitchLoss, SpectralLoss, TextureLoss
from training.timbre import TimbreLoss

STATE = data.OUT / "redecoded.pt"
BATCH, FRAMES = {"cuda": 32, "cpu": 4}, 300  # crops of a step, and their frames: as long as an instrument may take
JUDGED = 150  # of these frames, what spectra and texture are held against each other in
SHARDS = 40  # of clips in memory at most, 61 MB each
LEARNING_RATE, WARM_UP = 6e-4, 60  # at its height, falls as a cosine over the time given; steps
BETAS, CLIP_GRADIENT = (0.9, 0.99), 3.0
WEIGHTS = {"mel": 16.0, "stft": STFT, "texture": 24.0, "pitch": 8.0, "onset": 5.0, "timbre": 10.0, "question": 1.0}
LINES_SHARE = 0.4  # of that rate for what the gates hear of the codes themselves
UNHEARD = 25  # first frames of a crop, whose instrument isn't asked for


class Pool:
    """Clips (clips, samples) int16 in the device's memory, their codes (clips, codebooks, frames), and who leads."""

    def __init__(self, device: torch.device):
        self.device, self.parts, leads = device, [], []
        for path in data.shards("train", CODES, data.SECONDS):
            clips = data.CLIPS / path.with_suffix(".npy").name
            if clips.exists() and len(self.parts) < SHARDS:
                codes = torch.from_numpy(np.load(path)["codes"]).to(device)
                self.parts.append((torch.from_numpy(np.load(clips)).to(device), codes))
                leads.append([data.draw_clip(seed).lead for seed in data.shard_seeds(data.number_of(path))])
        if not self.parts:
            raise SystemExit("there are no clips with codes: python -m training.encode")
        self.names = sorted({lead for shard in leads for lead in shard})
        self.leads = [torch.tensor([self.names.index(lead) for lead in shard], device=device) for shard in leads]

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Crops (count, FRAMES · HOP) float32, their codes (count, codebooks, FRAMES), and numbers of `names`."""
        part = int(torch.randint(len(self.parts), ()))
        clips, codes = self.parts[part]
        rows = torch.randint(len(clips), (count, 1), device=self.device)
        starts = torch.randint(codes.shape[2] - FRAMES + 1, (count, 1), device=self.device)
        crops = clips[rows, starts * HOP + torch.arange(FRAMES * HOP, device=self.device)].float() / 32768
        places = starts + torch.arange(FRAMES, device=self.device)
        return crops, codes[rows, :, places].transpose(1, 2).long(), self.leads[part][rows[:, 0]]

    def fit(self, timbre: TimbreLoss) -> None:
        """Finds what tells these instruments apart in crops of this length."""
        crops = [clips[:, : FRAMES * HOP].split(16) for clips, _ in self.parts]
        with torch.no_grad():
            heard = torch.cat([timbre.statistics(some.float() / 32768) for shard in crops for some in shard])
        timbre.fit(heard, torch.cat(self.leads))


class Losses(nn.Module):
    """What a crop that is made is held against the true one by: in the order of WEIGHTS, without the question."""

    def __init__(self):
        super().__init__()
        self.spectral, self.texture = SpectralLoss(), TextureLoss()
        self.pitch, self.onset, self.timbre = PitchLoss(), OnsetLoss(), TimbreLoss()

    def forward(self, made: torch.Tensor, true: torch.Tensor) -> list[torch.Tensor]:
        """(batch, FRAMES · HOP) float32 each."""
        start = int(torch.randint(FRAMES - JUDGED + 1, ())) * HOP
        some, own = (audio[:, start : start + JUDGED * HOP] for audio in (made, true))
        losses = [*self.spectral(some, own), self.texture(some, own), self.pitch(made, true), self.onset(made, true)]
        return [*losses, self.timbre(made, true)]


def evaluate(model, clips: np.ndarray, codes: torch.Tensor) -> str:
    """How far held-out clips are from what their codes say."""
    made = decode_codes(model, codes).cpu().numpy()[:, : clips.shape[1]]
    distance = np.mean([measures.mel_distance(a, b) for a, b in zip(clips, made, strict=True)])
    return f"held-out mel distance {distance:.2f} dB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=90, help="in all, with what earlier calls have used")
    options = parser.parse_args()
    device, _ = device_and_dtype()
    torch.manual_seed(int(time.time()))
    model, _ = load_state(device)
    step, spent = 0, 0.0
    state = torch.load(STATE, map_location=device) if STATE.is_file() else None
    if state:
        model.decoder.load_state_dict(state["decoder"])
        step, spent = state["step"], state["spent"]
        print(f"going on from step {step}, after {spent / 60:.1f} minutes")
    gates, pool = Gates(model).to(device), Pool(device)
    losses = Losses().to(device)
    pool.fit(losses.timbre)
    question = nn.Linear(gates.MEMORY, len(pool.names)).to(device)
    lines = [gates.convolution, gates.bias, gates.heard, gates.offsets]
    memory = [gates.remembered, *(p for part in (gates.relays, gates.memory) for p in part.parameters())]
    groups = [
        {"params": lines, "share": LINES_SHARE}, {"params": memory, "share": 1.0},
        {"params": list(question.parameters()), "share": 3.0},
    ]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, weight_decay=0.0)
    if state:
        question.load_state_dict(state["question"])
        optimizer.load_state_dict(state["optimizer"])
    weights = torch.tensor([*WEIGHTS.values()], device=device)
    books = [layer.codebook.embed for layer in model.quantizer.layers]
    clips = held_out_clips()
    codes = np.load(codes_file(data.shard_file(0, "held-out")))["codes"][:HELD_OUT_CLIPS]
    known = torch.from_numpy(codes[..., : int(HELD_OUT_SECONDS * FRAME_RATE)]).long().to(device)

    def save() -> None:
        gates.write(model)
        state = {"decoder": model.decoder.state_dict(), "question": question.state_dict()}
        state |= {"optimizer": optimizer.state_dict(), "step": step, "spent": spent}
        torch.save(state, STATE.with_suffix(".part"))
        STATE.with_suffix(".part").rename(STATE)
        save_weights(model, CODEC_FILE, torch.float32, leave="encoder.")
        print(evaluate(model, clips, known), flush=True)

    print(evaluate(model, clips, known), flush=True)
    saved = now = time.perf_counter()
    before, first_step, sums = spent, step, torch.zeros(len(WEIGHTS), device=device)
    try:
        while spent < 60 * options.minutes:
            now, last = time.perf_counter(), now
            spent += min(now - last, LONGEST_STEP)
            rate = LEARNING_RATE * share_of_rate(step - first_step, WARM_UP, spent / (60 * options.minutes))
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * rate
            true, codes, leads = pool.draw(BATCH[device.type])
            latents = sum(F.embedding(codes[:, k], book) for k, book in enumerate(books)).transpose(1, 2)
            made, remembered = gates(latents, int(torch.randint(MAX_LENGTH - FRAMES, ())))
            answers = question(remembered[UNHEARD:]).flatten(0, 1)
            asked = F.cross_entropy(answers, leads.repeat(FRAMES - UNHEARD))
            values = torch.stack([*losses(made, true), asked])
            optimizer.zero_grad()
            (values @ weights).backward()
            torch.nn.utils.clip_grad_norm_([*lines, *memory], CLIP_GRADIENT)
            optimizer.step()
            step += 1
            sums += values.detach()
            tell = TELL_STEPS[device.type]
            if step % tell == 0:
                speed = (step - first_step) / max(1e-9, spent - before)
                told = " ".join(f"{float(value) / min(tell, step - first_step):.3f}" for value in sums)
                print(f"{spent / 60:6.1f} min, step {step} ({speed:.2f}/s): "
                      f"{', '.join(WEIGHTS)} {told}", flush=True)  # fmt: skip
                sums.zero_()
            if now - saved > EVALUATE_SECONDS:
                save()
                saved = time.perf_counter()
    except KeyboardInterrupt:
        print("stopped; the same call goes on from here")
    save()


if __name__ == "__main__":
    main()
