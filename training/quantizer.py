"""How the residual vector quantizer learns: codebooks as moving averages of what falls to them, the dead revived.

Works on the buffers of transformers' `EncodecModel.quantizer`, which itself only encodes and decodes. van den Oord et
al. 2017 (VQ-VAE, appendix A.1), Zeghidour et al. 2021 (SoundStream: residual stages, k-means start, dead codes). What
language models learn on is chosen by trellis (Ortega and Ramchandran 1998): see `steady_codes`.
"""

import torch
from torch.nn import functional as F

from training.oscillator_bank import BOOKS, PARTS

DECAY = 0.99  # of the moving averages, per step: latents drift fast at first, and codes left behind are lost
DEAD = 0.15  # a code is dead below this share of an even share of the vectors: after a hundred steps without any
KMEANS_ROUNDS = 12
KMEANS_VECTORS = 20_000
CHANGE_PRICES = (3.0, 2.0, 2.0)  # what a changed code costs in each part; their variances are some 30, 16, 10
BIT_PRICES = (1.0, 1.5, 1.5)  # and each bit of which code it is, by how often its clip changes to it
RARE = 0.03  # changes to a code that its clip doesn't use
ROUNDS = 3  # of counting the changes and choosing codes again
SPLIT = 0.2  # how far from its code, towards one of the vectors that fall to it, a revived code is put


def own(stage: int, vectors: torch.Tensor) -> torch.Tensor:
    """vectors (…, width) with zeros where they aren't what the codebook of this stage tells."""
    latents = PARTS[BOOKS[stage]][0]
    masked = torch.zeros_like(vectors)
    masked[..., latents] = vectors[..., latents]
    return masked


def quantize(
    quantizer, latents: torch.Tensor, learning: bool, coarse: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """latents (batch, width, frames) → quantized (straight through), commitment, codes (batch, codebooks, frames).

    coarse (batch,) bool: rows that only the first codebook of each part tells of, for it to learn what matters most
    (Kumar et al. 2023, quantizer dropout).
    """
    with torch.autocast(latents.device.type, enabled=False):
        batch, width, frames = latents.shape
        vectors = latents.float().permute(0, 2, 1).reshape(-1, width)  # (N, width)
        spread = vectors.detach().var(0).mean().clamp_min(1e-6)  # or the loss would be least where all are equal
        residual, total, commitment, codes = vectors, 0, 0, []
        for stage, layer in enumerate(quantizer.layers):
            book = layer.codebook
            index = book.quantize(residual.detach())
            chosen = F.embedding(index, book.embed)
            commitment = commitment + F.mse_loss(own(stage, residual), chosen) / spread
            if learning:
                learn(book, own(stage, residual.detach()), index)
            residual = residual - chosen
            if coarse is not None and BOOKS[stage] in BOOKS[:stage]:
                chosen = chosen * (~coarse).repeat_interleave(frames)[:, None]
            total = total + chosen
            codes.append(index.view(batch, frames))
        quantized = vectors + (total - vectors).detach()
        return quantized.view(batch, frames, width).permute(0, 2, 1), commitment, torch.stack(codes, 1)


@torch.no_grad()
def learn(book, vectors: torch.Tensor, index: torch.Tensor) -> None:
    """One step of a codebook's moving averages; codes that hardly anything falls to become vectors of this batch."""
    size = len(book.embed)
    counts = torch.zeros_like(book.cluster_size).index_add_(0, index, torch.ones_like(vectors[:, 0]))
    sums = torch.zeros_like(book.embed_avg).index_add_(0, index, vectors)
    book.cluster_size.lerp_(counts, 1 - DECAY)
    book.embed_avg.lerp_(sums, 1 - DECAY)
    even = len(vectors) / size
    dead = (book.cluster_size < DEAD * even)[:, None]
    newcomers = halves(book.embed, vectors, index)
    book.embed.copy_(torch.where(dead, newcomers, book.embed_avg / book.cluster_size.clamp_min(1e-5)[:, None]))
    book.embed_avg.copy_(torch.where(dead, newcomers * even, book.embed_avg))
    book.cluster_size.copy_(torch.where(dead[:, 0], torch.full_like(counts, even), book.cluster_size))


def halves(codes: torch.Tensor, vectors: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """New codes (size, width) beside those in much use, to share their vectors (Linde, Buzo and Gray 1980).

    A vector itself would make a poor code: in many dimensions the mean of all is nearer to any other than it is, so
    nothing would fall to it, and few codes would serve all.
    """
    drawn = torch.randint(len(vectors), (len(codes),), device=vectors.device)
    return torch.lerp(codes[index[drawn]], vectors[drawn], SPLIT)


@torch.no_grad()
def start(quantizer, latents: torch.Tensor, per_step: int) -> None:
    """k-means, stage after stage, on latents (batch, width, frames); then a step will bring `per_step` vectors."""
    residual = latents.float().permute(0, 2, 1).reshape(-1, latents.shape[1])
    residual = residual[torch.randperm(len(residual), device=residual.device)[:KMEANS_VECTORS]]
    for stage, layer in enumerate(quantizer.layers):
        book = layer.codebook
        size = len(book.embed)
        vectors = own(stage, residual)
        book.embed.copy_(vectors[torch.randint(len(vectors), (size,), device=vectors.device)])
        for _ in range(KMEANS_ROUNDS):
            index = book.quantize(vectors)
            counts = torch.zeros_like(book.cluster_size).index_add_(0, index, torch.ones_like(vectors[:, 0]))
            sums = torch.zeros_like(book.embed).index_add_(0, index, vectors)
            newcomers = halves(book.embed, vectors, index)
            means = sums / counts.clamp_min(1)[:, None]
            book.embed.copy_(torch.where((counts == 0)[:, None], newcomers, means))
        refresh(book, per_step)
        residual = residual - F.embedding(book.quantize(residual), book.embed)


@torch.no_grad()
def refresh(book, vectors: int) -> None:
    """Averages that say what the codebook says, as if steps of so many vectors had made it."""
    book.cluster_size.fill_(vectors / len(book.embed))
    book.embed_avg.copy_(book.embed * book.cluster_size[:, None])


@torch.no_grad()
def steady_codes(quantizer, latents: torch.Tensor) -> torch.Tensor:
    """latents (batch, width, frames) → codes (batch, codebooks, frames), cheap to foretell and near enough.

    Stage after stage, the codes of least squared distance plus a price for every frame whose code isn't the last
    frame's (Viterbi); where an earlier stage of the part has changed, a later one may for nothing. The nearest codes
    flicker: a held note's last codebook changes in most frames. Besides, a change costs more the rarer its code is in
    the clip (Chou, Lookabaugh and Gray 1989), so that a bar that comes again is told by the same codes, not by their
    neighbours: what language models go on with is what they have heard.
    """
    residual = latents.float().transpose(1, 2)
    batch, frames, _ = residual.shape
    costs = [torch.full((frames, batch, 1), price, device=latents.device) for price in CHANGE_PRICES]
    stages = []
    for part, layer in zip(BOOKS, quantizer.layers, strict=True):
        book = layer.codebook.embed
        distance = residual.square().sum(2, keepdim=True) - 2 * residual @ book.T + book.square().sum(1)
        distance = distance.transpose(0, 1)  # (frames, batch, codes)
        codes = least_cost_path(distance, costs[part])  # (frames, batch)
        for _ in range(ROUNDS):
            bits = surprise(codes, len(book))
            codes = least_cost_path(distance, costs[part] + BIT_PRICES[part] * bits)
        costs[part][1:][codes[1:] != codes[:-1]] = 0.0
        residual = residual - F.embedding(codes.T, book)
        stages.append(codes.T)
    return torch.stack(stages, 1)


def surprise(codes: torch.Tensor, size: int) -> torch.Tensor:
    """codes (frames, batch) → bits (batch, size) that a change to each code tells, by how often its clip does so."""
    moves = torch.ones_like(codes, dtype=torch.float)
    moves[1:] = (codes[1:] != codes[:-1]).float()
    counts = torch.zeros(codes.shape[1], size, device=codes.device).scatter_add_(1, codes.T, moves.T)
    return -torch.log2((counts + RARE) / counts.sum(1, keepdim=True))


def least_cost_path(distance: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
    """distance (frames, batch, codes), price of changing on the way into a frame (frames, batch, codes or 1) → codes
    (frames, batch).

    What a change costs doesn't depend on what it comes from, so a code's best forerunner is itself or the best of all:
    a step costs as much as it has codes, not their square.
    """
    cost, stays, best_codes = distance[0], [], []
    for near, change in zip(distance[1:], price[1:], strict=True):
        least, best_code = cost.min(1, keepdim=True)
        stay = cost <= least + change
        cost = torch.minimum(cost, least + change) + near
        stays.append(stay)
        best_codes.append(best_code)
    code = cost.argmin(1, keepdim=True)
    path = [code]
    for stay, best_code in zip(reversed(stays), reversed(best_codes), strict=True):
        code = torch.where(stay.gather(1, code), code, best_code)
        path.append(code)
    return torch.cat(path[::-1], 1).T


def perplexity(codes: torch.Tensor, size: int) -> list[int]:
    """How many codes of each codebook are in use, in effect: codes (batch, codebooks, frames)."""
    result = []
    for k in range(codes.shape[1]):
        share = torch.bincount(codes[:, k].flatten(), minlength=size).float()
        share /= share.sum()
        result.append(round(float(torch.exp(-(share * (share + 1e-10).log()).sum()))))
    return result
