"""Multi-head attention, full and ProbSparse (Zhou et al. 2021, section 3).

ProbSparse as published draws sample keys anew in every call, which makes evaluation itself random.
Here the sample depends on the lengths alone: a model is a function of its weights and its input.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn

from informer.dropout import Dropout

SAMPLE_SEED = 2021
_BLOCK = 128  # queries measured at a time: bounds the memory that long sequences take


class Attention(nn.Module):
    """Attention of one sequence to itself or to another, with its four projections."""

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        factor: int | None = None,
        dropout: float = 0.0,
        causal: bool = False,
        mix: bool = False,
    ) -> None:
        """Build the projections.

        Args:
            width: d_model, D below.
            heads: H; each has E = D / H channels.
            factor: c of ProbSparse; None means full attention.
            dropout: of the weights of full attention; ProbSparse has none, as published.
            causal: whether a query sees only itself and what came before.
            mix: whether the context is read as (H, L) where it should be (L, H), which mixes time
                steps: a trick of the published decoder.
        """
        super().__init__()
        self.heads = heads
        self.factor = factor
        self.causal = causal
        self.mix = mix
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Attend from queries (B, L_Q, D) to memory (B, L_K, D); returns (B, L_Q, D)."""
        query = self._heads(self.query(queries))  # (B, H, L_Q, E)
        key, value = map(self._heads, self.key_value(memory).chunk(2, dim=-1))  # (B, H, L_K, E)
        if self.factor is None:
            context = full_attention(query, key, value, self.causal, self.dropout)
        else:
            context = prob_attention(query, key, value, self.causal, self.factor)
        if not self.mix:
            context = context.transpose(1, 2)  # (B, L_Q, H, E)
        attended: Tensor = self.output(context.reshape(queries.shape))
        return attended

    def _heads(self, x: Tensor) -> Tensor:
        """Split (B, L, D) into (B, H, L, E), laid out so that each matmul need not copy it."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2).contiguous()


def full_attention(
    query: Tensor, key: Tensor, value: Tensor, causal: bool, dropout: nn.Module | None = None
) -> Tensor:
    """Return softmax(Q K^T / sqrt(E)) V (eq. 1) for (B, H, L, E) tensors.

    Written out, for at the lengths of forecasting it is faster on CPUs than the fused kernel.
    """
    scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)  # (B, H, L_Q, L_K)
    if causal:
        step = torch.arange(key.shape[2], device=key.device)
        scores = scores.masked_fill(step > step[: query.shape[2], None], -math.inf)
    weights = scores.softmax(dim=-1)
    return (weights if dropout is None else dropout(weights)) @ value


def prob_attention(query: Tensor, key: Tensor, value: Tensor, causal: bool, factor: int) -> Tensor:
    """Return ProbSparse attention (eq. 3, algorithm 1) for (B, H, L, E) tensors.

    The c ln L_Q queries whose scores on sampled keys are furthest from uniform get exact softmax
    attention. The others get the mean of all values, or, where attention is causal, the sum of the
    values so far, as published. With c ln L_Q >= L_Q the result is that of full attention.

    Which queries are chosen depends on later keys too, so that causal attention is strictly causal
    only in the attention of the chosen.
    """
    chosen = _count(factor, query.shape[2])
    if chosen == query.shape[2]:
        return full_attention(query, key, value, causal)
    spread = _spread(query.detach(), key.detach(), factor)
    top = spread.topk(chosen, dim=-1, sorted=False).indices  # (B, H, u)
    rows = top[..., None].expand(-1, -1, -1, query.shape[-1])  # (B, H, u, E)
    reduced = query.gather(2, rows) / math.sqrt(query.shape[-1])
    scores = reduced @ key.transpose(-2, -1)  # (B, H, u, L_K)
    if causal:
        step = torch.arange(key.shape[2], device=key.device)
        scores = scores.masked_fill(step > top[..., None], -math.inf)
    exact = scores.softmax(dim=-1) @ value  # (B, H, u, E)
    lazy = value.cumsum(2) if causal else value.mean(2, keepdim=True).expand_as(query)
    return lazy.scatter(2, rows, exact)


def _spread(query: Tensor, key: Tensor, factor: int) -> Tensor:
    """Return the sparsity measure of each query (eq. 4) on sampled keys, (B, H, L_Q).

    As published, it divides the sum over the sample by the number of all keys.
    """
    keys = key.shape[2]
    sample = _sample(query.shape[2], keys, _count(factor, keys), query.device)
    measured = []
    for start in range(0, query.shape[2], _BLOCK):
        block = slice(start, start + _BLOCK)
        scores = query[:, :, block] @ key.transpose(-2, -1)  # (B, H, <= _BLOCK, L_K)
        drawn = scores.gather(-1, sample[block].expand(*scores.shape[:2], -1, -1))
        measured.append(drawn.amax(-1) - drawn.sum(-1) / keys)
    return torch.cat(measured, dim=-1)


@functools.lru_cache(maxsize=64)
def _sample(queries: int, keys: int, count: int, device: torch.device) -> Tensor:
    """Return `count` keys for each query, (L_Q, U), the same ones whenever the lengths are."""
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    return torch.randint(keys, (queries, count), generator=generator).to(device)


def _count(factor: int, length: int) -> int:
    """Return c ceil(ln L), at least 1 and at most L."""
    return min(length, max(1, factor * math.ceil(math.log(length))))
