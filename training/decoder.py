"""MusicGen's decoder as training runs it: transformers' modules and weights, fewer and fused operations.

transformers' own `forward` builds masks that keep attention from its fastest kernels, and multiplies by the query's,
the key's and the value's weights one by one. Copet et al. 2023; the same logits as `MusicgenForCausalLM` and
`MusicgenMelodyForCausalLM` (training/README.md says how that was compared).
"""

import torch
from torch.nn import functional as F


def logits(
    model, inputs: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None, watch=None, place=None
) -> torch.Tensor:
    """inputs (batch, codebooks, steps) → (batch, steps, codebooks, codes).

    model: a `MusicgenForCausalLM`, whose layers attend to states (batch, places, width) where mask (batch, places) is
    1; or a `MusicgenMelodyForCausalLM`, which hears the states before its codes, and no mask.
    watch: called with each layer's number, queries, keys and what it leaves (batch, steps, width) (`guides.Watch`).
    place: (batch, 1), of the first step; 0 where it isn't given, as in `forward`.
    """
    decoder = model.model.decoder
    x = sum(F.embedding(inputs[:, k], table.weight) for k, table in enumerate(decoder.embed_tokens))
    melody = not hasattr(decoder.layers[0], "encoder_attn")
    before = states.shape[1] if melody else 0
    if melody:
        x = torch.cat([states.to(x.dtype), x], 1)
    places = torch.arange(x.shape[1], device=x.device)
    x = x + decoder.embed_positions.weights[places if place is None else place + places]
    allowed = None if melody or mask is None else mask[:, None, None].bool()
    for number, layer in enumerate(decoder.layers):
        x, queries, keys = block(layer, x, states, allowed, model.config.num_attention_heads)
        if watch:
            watch(number, queries[:, :, before:], keys[:, :, before:], x[:, before:])
    weight = torch.cat([head.weight for head in model.lm_heads])
    return F.linear(decoder.layer_norm(x[:, before:]), weight).unflatten(-1, (inputs.shape[1], -1))


def block(layer, x: torch.Tensor, states: torch.Tensor, allowed: torch.Tensor | None, heads: int):
    """One layer's work on x (batch, places, width); → x, and its queries and keys (batch, heads, places, size)."""
    attention = layer.self_attn
    weight = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
    queries, keys, values = split(F.linear(layer.self_attn_layer_norm(x), weight), 3 * heads).chunk(3, 1)
    x = x + attention.out_proj(joined(F.scaled_dot_product_attention(queries, keys, values, is_causal=True)))
    if hasattr(layer, "encoder_attn"):
        attention = layer.encoder_attn
        q = split(attention.q_proj(layer.encoder_attn_layer_norm(x)), heads)
        weight = torch.cat([attention.k_proj.weight, attention.v_proj.weight])
        k, v = split(F.linear(states, weight), 2 * heads).chunk(2, 1)
        x = x + attention.out_proj(joined(F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)))
    return x + layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(x)))), queries, keys


def cross_entropies(logits: torch.Tensor, targets: torch.Tensor, ignored: int) -> torch.Tensor:
    """logits (batch, steps, codebooks, codes), targets (batch, steps, codebooks) → each codebook's mean, in nats."""
    each = F.cross_entropy(logits.flatten(0, 2).float(), targets.flatten(), ignore_index=ignored, reduction="none")
    return each.view_as(targets).sum((0, 1)) / (targets != ignored).sum((0, 1))


def split(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(batch, places, heads · size) → (batch, heads, places, size)"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def joined(x: torch.Tensor) -> torch.Tensor:
    """The reverse of `split`."""
    return x.transpose(1, 2).flatten(2)
