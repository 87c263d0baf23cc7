from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from informer.attention import Attention, full_attention, prob_attention


def tensors(length: int = 20, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, length, 8, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("causal", [False, True])
def test_full_attention_is_plain_softmax_attention(causal: bool) -> None:
    query, key, value = (tensor.double() for tensor in tensors())
    q, k, v = (tensor.numpy() for tensor in (query, key, value))
    expected = np.zeros_like(v)
    for b, h, i in np.ndindex(2, 3, 20):
        seen = slice(0, i + 1) if causal else slice(None)
        weights = np.exp(k[b, h, seen] @ q[b, h, i] / math.sqrt(8))
        expected[b, h, i] = weights @ v[b, h, seen] / weights.sum()
    np.testing.assert_allclose(full_attention(query, key, value, causal), expected, rtol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_prob_attention_with_a_large_factor_is_full_attention(causal: bool) -> None:
    query, key, value = tensors()
    prob = prob_attention(query, key, value, causal, factor=7)
    assert torch.equal(prob, full_attention(query, key, value, causal))


@pytest.mark.parametrize("causal", [False, True])
def test_prob_attention_is_exact_for_c_ln_l_queries_and_lazy_for_the_others(causal: bool) -> None:
    query, key, value = tensors(200)  # more queries than are measured at a time
    prob = prob_attention(query, key, value, causal, factor=2)
    full = full_attention(query, key, value, causal)
    lazy = value.cumsum(2) if causal else value.mean(2, keepdim=True).expand_as(value)
    is_full = torch.isclose(prob, full, atol=1e-5).all(-1)
    is_lazy = torch.isclose(prob, lazy, atol=1e-5).all(-1)
    assert (is_full | is_lazy).all()
    lazy_only = is_lazy & ~is_full
    assert (lazy_only.sum(-1) >= 200 - 2 * math.ceil(math.log(200)) - 1).all()


def test_prob_attention_chooses_queries_that_are_far_from_uniform() -> None:
    query, key, value = tensors(96)
    query[:, :, 10] *= 100  # attends to one key alone
    prob = prob_attention(query, key, value, causal=False, factor=1)
    full = full_attention(query, key, value, causal=False)
    torch.testing.assert_close(prob[:, :, 10], full[:, :, 10])


@pytest.mark.parametrize("factor", [None, 100])
def test_causal_attention_does_not_see_what_comes_later(factor: int | None) -> None:
    torch.manual_seed(0)
    attention = Attention(16, 4, factor=factor, causal=True).eval()
    x = torch.randn(2, 20, 16)
    changed = x.clone()
    changed[:, 12:] += 1
    before, after = attention(x, x), attention(changed, changed)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12:], after[:, 12:])


def test_mix_reads_the_context_head_by_head() -> None:
    torch.manual_seed(0)
    plain = Attention(16, 4, causal=True).eval()
    mixed = Attention(16, 4, causal=True, mix=True).eval()
    mixed.load_state_dict(plain.state_dict())
    for attention in (plain, mixed):
        attention.output = torch.nn.Identity()  # type: ignore[assignment]
    x = torch.randn(2, 6, 16)
    by_head = plain(x, x).view(2, 6, 4, 4).transpose(1, 2)  # (B, H, L, E)
    assert torch.equal(mixed(x, x), by_head.reshape(2, 6, 16))


def test_a_single_step_can_attend() -> None:
    query, key, value = tensors(1)
    assert torch.equal(prob_attention(query, key, value, causal=True, factor=5), value)


def test_prob_attention_passes_gradients() -> None:
    inputs = [tensor.double().requires_grad_() for tensor in tensors(12)]
    assert torch.autograd.gradcheck(
        lambda q, k, v: prob_attention(q, k, v, True, 1), inputs, fast_mode=True
    )
