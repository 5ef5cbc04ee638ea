"""MusicGen's decoder as training runs it: transformers' modules and weights, fewer and fused operations.

transformers' own `forward` builds masks that keep attention from its fastest kernels, and multiplies by the query's,
the key's and the value's weights one by one. Copet et al. 2023; the same logits as `MusicgenForCausalLM` and
`MusicgenMelodyForCausalLM` (training/README.md says how that was compared).
"""

import torch
from torch.nn import functional as F


def logits(model, inputs: torch.Tensor, states: torch.Tensor, mask: torch.Tensor | None, guide=None) -> torch.Tensor:
    """inputs (batch, codebooks, steps) → (batch, steps, codebooks, codes).

    model: a `MusicgenForCausalLM`, whose layers attend to states (batch, places, width) where mask (batch, places) is
    1; or a `MusicgenMelodyForCausalLM`, which hears the states before its codes, and no mask.
    guide: called with each layer's number, queries and keys (`guides.Guide`).
    """
    decoder = model.model.decoder
    x = sum(F.embedding(inputs[:, k], table.weight) for k, table in enumerate(decoder.embed_tokens))
    melody = not hasattr(decoder.layers[0], "encoder_attn")
    before = states.shape[1] if melody else 0
    if melody:
        x = torch.cat([states.to(x.dtype), x], 1)
    x = x + decoder.embed_positions.weights[: x.shape[1]]
    allowed = None if melody or mask is None else mask[:, None, None].bool()
    heads = model.config.num_attention_heads
    for number, layer in enumerate(decoder.layers):
        attention = layer.self_attn
        weight = torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight])
        q, k, v = split(F.linear(layer.self_attn_layer_norm(x), weight), 3 * heads).chunk(3, 1)
        if guide:
            guide(number, q[:, :, before:], k[:, :, before:])
        x = x + attention.out_proj(joined(F.scaled_dot_product_attention(q, k, v, is_causal=True)))
        if not melody:
            attention = layer.encoder_attn
            q = split(attention.q_proj(layer.encoder_attn_layer_norm(x)), heads)
            weight = torch.cat([attention.k_proj.weight, attention.v_proj.weight])
            k, v = split(F.linear(states, weight), 2 * heads).chunk(2, 1)
            x = x + attention.out_proj(joined(F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)))
        x = x + layer.fc2(F.gelu(layer.fc1(layer.final_layer_norm(x))))
    x = decoder.layer_norm(x[:, before:])
    weight = torch.cat([head.weight for head in model.lm_heads])
    return F.linear(x, weight).unflatten(-1, (inputs.shape[1], -1))


def split(x: torch.Tensor, heads: int) -> torch.Tensor:
    """(batch, places, heads · size) → (batch, heads, places, size)"""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def joined(x: torch.Tensor) -> torch.Tensor:
    """The reverse of `split`."""
    return x.transpose(1, 2).flatten(2)
