"""Attention between tokens: the projections, and one class for each mechanism between them.

ProbSparse as published draws sample keys anew in every call, which makes evaluation itself random.
Here the sample depends on the lengths alone: a model is a function of its weights and its input.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from informer.config import ModelConfig
from informer.cost import natural_count
from informer.dropout import Dropout

SAMPLE_SEED = 2021
_CACHE, _MEMORY = 2**19, 2**27  # scores at a time that stay in a core's cache, in a GPU's memory


class Attention(nn.Module):
    """Attention of one sequence to itself or to another: projections around a mechanism."""

    def __init__(self, width: int, heads: int, mechanism: nn.Module, *, mix: bool = False) -> None:
        """Build the projections.

        Args:
            width: d_model, D below.
            heads: H; each has E = D / H channels.
            mechanism: maps query, key and value (B, H, L, E) to a context (B, H, L_Q, E).
            mix: whether the context is read as (H, L) where it should be (L, H), which mixes time
                steps: a trick of the published decoder.
        """
        super().__init__()
        self.heads = heads
        self.mix = mix
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mechanism = mechanism
        self.output = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor | None = None) -> Tensor:
        """Attend from queries (B, L_Q, D) to memory (B, L_K, D), or to themselves: (B, L_Q, D)."""
        if memory is None:
            query, key, value = self._heads(self.query_key_value(queries), 3)
        else:
            width = queries.shape[-1]
            weight, bias = self.query_key_value.weight, self.query_key_value.bias
            (query,) = self._heads(F.linear(queries, weight[:width], bias[:width]), 1)
            key, value = self._heads(F.linear(memory, weight[width:], bias[width:]), 2)
        context = self.mechanism(query, key, value)
        if not self.mix:
            context = context.transpose(1, 2)  # (B, L_Q, H, E)
        attended: Tensor = self.output(context.reshape(queries.shape))
        return attended

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Split (B, L, parts D) into tensors (B, H, L, E), laid out so that no matmul copies."""
        x = x.view(*x.shape[:2], parts, self.heads, -1)
        return x.permute(2, 0, 3, 1, 4).contiguous().unbind()


class FullAttention(nn.Module):
    """softmax(Q K^T / sqrt(E)) V (Vaswani et al. 2017, eq. 1).

    Written out, for at the lengths of forecasting it is faster on CPUs than the fused kernel.
    """

    def __init__(self, *, causal: bool = False, dropout: float = 0.0) -> None:
        """Choose whether a query sees only what came before, and the dropout of the weights."""
        super().__init__()
        self.causal = causal
        self.dropout = Dropout(dropout)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the context (B, H, L_Q, E)."""
        if query.device.type != "cpu":
            dropout = self.dropout.probability if self.training else 0.0
            return F.scaled_dot_product_attention(
                query, key, value, dropout_p=dropout, is_causal=self.causal
            )
        scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-2, -1)  # (B, H, L_Q, L_K)
        if self.causal:
            step = torch.arange(key.shape[2], device=key.device)
            scores = scores.masked_fill(step > step[: query.shape[2], None], -math.inf)
        context: Tensor = self.dropout(scores.softmax(dim=-1)) @ value
        return context


class ProbSparse(nn.Module):
    """ProbSparse attention (Zhou et al. 2021, eq. 3 and algorithm 1).

    The c ln L_Q queries whose scores on sampled keys are furthest from uniform get exact softmax
    attention; the others get the mean of all values or, where attention is causal, what `lazy`
    says. With c ln L_Q >= L_Q the result is that of full attention. As published, its weights have
    no dropout.

    Which queries are chosen depends on later keys too, so that causal attention is strictly causal
    only in the attention of the chosen.
    """

    def __init__(
        self,
        factor: int,
        *,
        causal: bool = False,
        shared: bool = False,
        published_measure: bool = False,
        lazy_sum: bool = False,
    ) -> None:
        """Choose the variant; the defaults have the faults of the published code corrected.

        Args:
            factor: c.
            causal: whether a query sees only itself and what came before.
            shared: measure all queries on the same keys, in time and memory linear in L_Q + L_K.
            published_measure: divide the sum over the sample by the number of all keys.
            lazy_sum: give lazy rows of causal attention the sum of the values so far, which grows
                with the position, instead of their mean.
        """
        super().__init__()
        self.factor = factor
        self.causal = causal
        self.shared = shared
        self.published_measure = published_measure
        self.lazy_sum = lazy_sum

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the context (B, H, L_Q, E)."""
        batch, heads, length, width = query.shape
        count = natural_count(self.factor, length)
        with torch.no_grad():
            if count == length:
                top = torch.arange(length, device=query.device).expand(batch, heads, -1)
            else:
                top = self.measure(query, key).topk(count, dim=-1, sorted=False).indices
            # Rows of the chosen queries in (B H L, E): one flat index is faster than a gather.
            first = length * torch.arange(batch * heads, device=query.device)
            rows = (top + first.view(batch, heads, 1)).flatten()  # (B H u)
        chosen = query.reshape(-1, width).index_select(0, rows).view(batch, heads, count, width)
        scores = (chosen / math.sqrt(width)) @ key.transpose(-2, -1)  # (B, H, u, L_K)
        if self.causal:
            step = torch.arange(key.shape[2], device=key.device)
            scores = scores.masked_fill(step > top[..., None], -math.inf)
        exact = scores.softmax(dim=-1) @ value  # (B, H, u, E)
        lazy = self._lazy(value, length).reshape(-1, width)
        return lazy.index_copy(0, rows, exact.reshape(-1, width).to(lazy)).view_as(query)

    def measure(self, query: Tensor, key: Tensor) -> Tensor:
        """Return how far each query is from uniform on the sample (eq. 4), (B, H, L_Q)."""
        length, keys = query.shape[2], key.shape[2]
        drawn = natural_count(self.factor, keys)
        divisor = keys if self.published_measure else drawn
        if self.shared:
            sample = sampled_keys(1, keys, drawn, query.device)[0]  # (U)
            scores = query @ key.index_select(2, sample).transpose(-2, -1)  # (B, H, L_Q, U)
            return scores.amax(-1) - scores.sum(-1) / divisor
        sample = sampled_keys(length, keys, drawn, query.device)  # (L_Q, U)
        found = query.new_empty(query.shape[:3])
        pairs, together = _blocks(query.device, length, keys)
        parts = (torch.split(x.flatten(0, 1), pairs) for x in (query, key, found))
        for q, k, m in zip(*parts, strict=True):
            for start in range(0, length, together):
                block = slice(start, start + together)
                scores = q[:, block] @ k.transpose(-2, -1)  # (pairs, block, L_K)
                scores = scores.gather(-1, sample[block].expand(len(q), -1, -1))
                m[:, block] = scores.amax(-1) - scores.sum(-1) / divisor
        return found

    def _lazy(self, value: Tensor, length: int) -> Tensor:
        """Return what a query that is not chosen gets, (B, H, L_Q, E)."""
        if not self.causal:
            return value.mean(2, keepdim=True).expand(-1, -1, length, -1)
        total = value.cumsum(2)
        if self.lazy_sum:
            return total
        seen = torch.arange(1, length + 1, device=value.device, dtype=total.dtype)
        return total / seen[:, None]


class AutoCorrelation(nn.Module):
    """Aggregation of the series shifted by its strongest lags (Wu et al. 2021, eq. 5 to 7).

    The lags are chosen for each window on its own, in training too, so that a forecast does not
    depend on the other windows of its batch. Nothing is masked: a shift is circular.
    """

    def __init__(self, factor: int) -> None:
        """Keep c ln L lags."""
        super().__init__()
        self.factor = factor

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the context (B, H, L, E) of sequences of one length.

        The sum over lags of w(lag) v(t + lag) is itself a circular correlation, so that both steps
        are products of spectra, in O(L ln L).
        """
        length = query.shape[2]
        precise = torch.promote_types(value.dtype, torch.float32)  # bfloat16 has no spectra
        spectrum = [torch.fft.rfft(x.to(precise), dim=2) for x in (query, key, value)]
        product = (spectrum[0] * spectrum[1].conj()).mean(dim=(1, 3))  # (B, L / 2 + 1)
        correlation = torch.fft.irfft(product, n=length)  # (B, L)
        strongest, lags = correlation.topk(natural_count(self.factor, length), dim=-1)
        weights = torch.zeros_like(correlation).scatter(-1, lags, strongest.softmax(dim=-1))
        weighting = torch.fft.rfft(weights).conj()[:, None, :, None]
        context = torch.fft.irfft(weighting * spectrum[2], n=length, dim=2)
        mixed: Tensor = context.to(value.dtype)
        return mixed


def _blocks(device: torch.device, length: int, keys: int) -> tuple[int, int]:
    """Return how many (window, head) pairs and queries to score at a time."""
    budget = _CACHE if device.type == "cpu" else _MEMORY
    pairs = max(1, budget // (length * keys))
    return pairs, max(1, budget // (pairs * keys))


def mechanism(model: ModelConfig, *, causal: bool = False) -> nn.Module:
    """Return the mechanism that `model.attention` names."""
    match model.attention:
        case "prob":
            return ProbSparse(
                model.factor,
                causal=causal,
                shared=model.sampled_keys == "shared",
                published_measure=model.sparsity == "published",
                lazy_sum=model.lazy == "sum",
            )
        case "auto_correlation":
            return AutoCorrelation(model.factor)
        case "full":
            return FullAttention(causal=causal, dropout=model.dropout)
        case "none":
            raise ValueError("model.attention none has no mechanism; leave the sublayer out.")


# Compiled code would trace past the cache and draw anew in every call.
@torch.compiler.disable  # type: ignore[untyped-decorator]
@functools.lru_cache(maxsize=64)
def sampled_keys(queries: int, keys: int, count: int, device: torch.device) -> Tensor:
    """Return `count` keys for each query, (L_Q, U), the same ones whenever the lengths are."""
    generator = torch.Generator().manual_seed(SAMPLE_SEED)
    return torch.randint(keys, (queries, count), generator=generator).to(device)
