"""Attention equals an independent float64 restatement of the published equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from informer.attention import (
    Attention,
    AutoCorrelation,
    FullAttention,
    ProbSparse,
    sampled_keys,
)
from informer.cost import natural_count
from tests.informer import restatement


def tensors(length: int = 20, seed: int = 0, keys: int | None = None) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = (length, keys or length, keys or length)
    return [torch.randn(2, 3, n, 8, generator=generator, dtype=torch.float64) for n in lengths]


def arrays(inputs: list[Tensor]) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in inputs]


@pytest.mark.parametrize("causal", [False, True])
def test_full_attention_is_plain_softmax_attention(causal: bool) -> None:
    inputs = tensors(keys=20 if causal else 13)
    expected = restatement.full_attention(*arrays(inputs), causal)
    np.testing.assert_allclose(FullAttention(causal=causal)(*inputs), expected, rtol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_what_gpus_compute_is_plain_softmax_attention(causal: bool) -> None:
    inputs = tensors()
    fused = torch.nn.functional.scaled_dot_product_attention(*inputs, is_causal=causal)
    np.testing.assert_allclose(FullAttention(causal=causal)(*inputs), fused, rtol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("length", [10, 40, 200])  # 200: more than are measured at a time
def test_prob_sparse_is_algorithm_1(
    causal: bool, published: bool, shared: bool, length: int
) -> None:
    inputs = tensors(length)
    attention = ProbSparse(
        2, causal=causal, shared=shared, published_measure=published, lazy_sum=published
    )
    drawn = natural_count(2, length)
    sample = sampled_keys(1 if shared else length, length, drawn, torch.device("cpu")).numpy()
    expected = restatement.prob_attention(
        *arrays(inputs),
        causal,
        np.repeat(sample, length, axis=0) if shared else sample,
        drawn,
        length if published else drawn,
        "sum" if published else "mean",
    )
    np.testing.assert_allclose(attention(*inputs), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_prob_sparse_with_a_large_factor_is_full_attention(causal: bool) -> None:
    inputs = tensors()
    prob = ProbSparse(7, causal=causal)(*inputs)
    torch.testing.assert_close(prob, FullAttention(causal=causal)(*inputs))


def test_prob_sparse_chooses_queries_that_are_far_from_uniform() -> None:
    query, key, value = tensors(96)
    query[:, :, 10] *= 100  # attends to one key alone
    prob = ProbSparse(1)(query, key, value)
    full = FullAttention()(query, key, value)
    torch.testing.assert_close(prob[:, :, 10], full[:, :, 10])


def test_the_published_lazy_rows_grow_with_the_position_and_the_corrected_do_not() -> None:
    query, key, _ = tensors(96)
    ones = torch.ones_like(key)
    published = ProbSparse(1, causal=True, lazy_sum=True)(query, key, ones)
    corrected = ProbSparse(1, causal=True)(query, key, ones)
    assert float(published.max()) > 90
    torch.testing.assert_close(corrected, ones)


@pytest.mark.parametrize("length", [1, 7, 24, 50])
def test_auto_correlation_is_the_sum_of_rolled_values(length: int) -> None:
    inputs = tensors(length)
    expected = restatement.auto_correlation(*arrays(inputs), natural_count(2, length))
    np.testing.assert_allclose(AutoCorrelation(2)(*inputs), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "across"),
    [
        (FullAttention(), False),
        (FullAttention(), True),
        (ProbSparse(1), False),
        (AutoCorrelation(1), False),
    ],
)
@pytest.mark.parametrize("mix", [False, True])
def test_projections_heads_and_mix_are_as_published(
    kind: torch.nn.Module, mix: bool, across: bool
) -> None:
    torch.manual_seed(0)
    attention = Attention(16, 4, kind, mix=mix).double().eval()
    queries = torch.randn(2, 20, 16, dtype=torch.float64)
    memory = torch.randn(2, 9, 16, dtype=torch.float64) if across else queries
    with torch.no_grad():
        found = attention(queries, memory if across else None)
        weights = attention.query_key_value.weight.chunk(3)
        biases = attention.query_key_value.bias.chunk(3)
        q, k, v = (
            restatement.split_heads(restatement.linear(x.numpy(), w.numpy(), b.numpy()), 4)
            for x, w, b in zip((queries, memory, memory), weights, biases, strict=True)
        )
        context = kind(*(torch.from_numpy(part) for part in (q, k, v))).numpy()
        output = attention.output
        expected = restatement.linear(
            restatement.merge_heads(context, mix), output.weight.numpy(), output.bias.numpy()
        )
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [FullAttention(causal=True), ProbSparse(100, causal=True)])
def test_causal_attention_does_not_see_what_comes_later(kind: torch.nn.Module) -> None:
    torch.manual_seed(0)
    attention = Attention(16, 4, kind).eval()
    x = torch.randn(2, 20, 16)
    changed = x.clone()
    changed[:, 12:] += 1
    before, after = attention(x), attention(changed)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12:], after[:, 12:])


def test_a_single_step_can_attend() -> None:
    query, key, value = tensors(1)
    assert torch.equal(ProbSparse(5, causal=True)(query, key, value), value)


@pytest.mark.parametrize(
    "kind", [ProbSparse(1, causal=True), ProbSparse(1, shared=True), AutoCorrelation(1)]
)
def test_gradients_are_those_of_the_function(kind: torch.nn.Module) -> None:
    inputs = [tensor.requires_grad_() for tensor in tensors(12)]
    assert torch.autograd.gradcheck(kind, inputs, fast_mode=True)


def test_the_sample_of_keys_depends_on_the_lengths_alone() -> None:
    torch.manual_seed(1)
    first = sampled_keys(30, 40, 10, torch.device("cpu")).clone()
    sampled_keys.__wrapped__.cache_clear()  # type: ignore[attr-defined]
    torch.manual_seed(2)
    assert torch.equal(first, sampled_keys(30, 40, 10, torch.device("cpu")))
    assert first.shape == (30, 10) and int(first.max()) < 40
    assert natural_count(5, 96) == 5 * math.ceil(math.log(96))
