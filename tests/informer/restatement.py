"""The papers' equations once more, in numpy float64, as a second opinion on the torch layers.

Written from the papers, not from the layers under test: Informer (Zhou et al. 2021) and, where
named, the layers of later papers. Pure functions of arrays; weights come in torch's layout.

Letters in shapes: B samples, L steps (L_Q of queries, L_K of keys), C input channels, D model
width, H heads, E = D / H, U sampled keys per query, N patches. Pass float64 arrays.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Function = Callable[[Floats], Floats]

EPS = 1e-5


# Building blocks


def linear(x: Floats, weight: Floats, bias: Floats | None = None) -> Floats:
    """y = x W^T + b. x (..., in), weight (out, in), bias (out,) -> (..., out)."""
    y = x @ weight.T
    return y if bias is None else y + bias


def layer_norm(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """Layer normalisation (Ba et al. 2016) of the last axis.

    x (..., D), weight and bias (D,) -> (..., D); biased variance.
    """
    mean: Floats = x.mean(axis=-1, keepdims=True)
    variance: Floats = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPS) * weight + bias


def gelu(x: Floats) -> Floats:
    """Exact GELU (Hendrycks & Gimpel 2016), x Phi(x), elementwise; any shape."""
    erf = np.vectorize(math.erf, otypes=[np.float64])
    normal: Floats = 0.5 * (1.0 + erf(x / math.sqrt(2.0)))
    return x * normal


def softmax(x: Floats) -> Floats:
    """exp(x_j) / sum_l exp(x_l) over the last axis; any shape."""
    powers: Floats = np.exp(x - x.max(axis=-1, keepdims=True))
    total: Floats = powers.sum(axis=-1, keepdims=True)
    return powers / total


def conv1d(
    x: Floats,
    weight: Floats,
    bias: Floats | None,
    padding: int,
    mode: Literal["circular", "zeros", "replicate"],
) -> Floats:
    """Convolution over time as torch means it (no flip), stride 1; Informer app. B, eq. 5.

    x (B, L, C), weight (D, C, K), bias (D,) or None -> (B, L + 2 padding - K + 1, D).
    """
    batch, length, channels = x.shape
    out, _, kernel = weight.shape
    padded = np.zeros((batch, length + 2 * padding, channels))
    for position in range(length + 2 * padding):
        step = position - padding
        if mode == "circular":
            padded[:, position] = x[:, step % length]
        elif mode == "replicate":
            padded[:, position] = x[:, min(max(step, 0), length - 1)]
        elif mode == "zeros":
            if 0 <= step < length:
                padded[:, position] = x[:, step]
        else:
            raise ValueError(mode)
    y = np.zeros((batch, length + 2 * padding - kernel + 1, out))
    for t in range(y.shape[1]):
        for tap in range(kernel):
            y[:, t] += padded[:, t + tap] @ weight[:, :, tap].T
    return y if bias is None else y + bias


def sinusoids(length: int, width: int) -> Floats:
    """Vaswani et al. 2017, sec. 3.5 (Informer app. B uses base 2 L_x; its code 10000, as here).

    PE[p, 2i] = sin(p / 10000^(2i / width)), PE[p, 2i + 1] = cos(same) -> (length, width).
    """
    table = np.zeros((length, width))
    for p in range(length):
        for column in range(width):
            angle = p / 10000.0 ** (2 * (column // 2) / width)
            table[p, column] = math.sin(angle) if column % 2 == 0 else math.cos(angle)
    return table


# Attention


def full_attention(q: Floats, k: Floats, v: Floats, causal: bool) -> Floats:
    """Informer eq. 1, softmax(q_i K^T / sqrt(E)) V, one query at a time.

    q (B, H, L_Q, E), k and v (B, H, L_K, E) -> (B, H, L_Q, E). Causal: query i sees keys <= i.
    """
    batch, heads, queries, width = q.shape
    out = np.zeros((batch, heads, queries, v.shape[-1]))
    for b in range(batch):
        for h in range(heads):
            for i in range(queries):
                seen = i + 1 if causal else k.shape[2]
                scores = k[b, h, :seen] @ q[b, h, i] / math.sqrt(width)
                out[b, h, i] = softmax(scores) @ v[b, h, :seen]
    return out


def sparsity(q: Floats, k: Floats, sample: Ints, divisor: float) -> Floats:
    """Informer eq. 4 on sampled keys: M_i = max_j(q_i k_j) - sum_j(q_i k_j) / divisor.

    q (B, H, L_Q, E), k (B, H, L_K, E), sample (L_Q, U): the keys that query i is tried on, shared
    by samples and heads -> (B, H, L_Q). The scores are unscaled as in the published code; eq. 4
    divides them by sqrt(E), which does not change the order of the queries. divisor: L_K in the
    published code, U for a true mean over the sampled keys. No mask, in causal attention either.
    """
    batch, heads, queries, _ = q.shape
    measure = np.zeros((batch, heads, queries))
    for b in range(batch):
        for h in range(heads):
            for i in range(queries):
                scores = k[b, h, sample[i]] @ q[b, h, i]
                measure[b, h, i] = scores.max() - scores.sum() / divisor
    return measure


def prob_attention(
    q: Floats,
    k: Floats,
    v: Floats,
    causal: bool,
    sample: Ints,
    top: int,
    divisor: float,
    lazy: Literal["sum", "mean"],
) -> Floats:
    """ProbSparse attention, Informer eq. 3 and algorithm 1.

    q (B, H, L_Q, E), k and v (B, H, L_K, E), sample (L_Q, U) -> (B, H, L_Q, E). The `top` queries
    of largest sparsity attend exactly. The others are lazy: without a mask they get the mean of
    V; with one (L_Q = L_K) the sum (published code) or the mean of V up to their own index.
    """
    batch, heads, queries, _ = q.shape
    exact = full_attention(q, k, v, causal)
    measure = sparsity(q, k, sample, divisor)
    out = np.zeros_like(exact)
    for b in range(batch):
        for h in range(heads):
            active = set(np.argsort(-measure[b, h], kind="stable")[:top].tolist())
            for i in range(queries):
                if i in active:
                    out[b, h, i] = exact[b, h, i]
                elif not causal:
                    out[b, h, i] = v[b, h].mean(axis=0)
                elif lazy == "sum":
                    out[b, h, i] = v[b, h, : i + 1].sum(axis=0)
                elif lazy == "mean":
                    out[b, h, i] = v[b, h, : i + 1].mean(axis=0)
                else:
                    raise ValueError(lazy)
    return out


def split_heads(x: Floats, heads: int) -> Floats:
    """Head h takes the channels h E .. (h + 1) E - 1 (Vaswani et al. 2017, sec. 3.2.2).

    x (B, L, D) -> (B, H, L, E).
    """
    batch, length, width = x.shape
    size = width // heads
    out = np.zeros((batch, heads, length, size))
    for h in range(heads):
        out[:, h] = x[:, :, h * size : (h + 1) * size]
    return out


def merge_heads(x: Floats, mix: bool) -> Floats:
    """Concatenate the heads (Vaswani et al. 2017, sec. 3.2.2). x (B, H, L, E) -> (B, L, D).

    mix: the published decoder's trick; the (H, L, E) numbers of a sample, in that order, are read
    as (L, D), so that a step of the result holds several steps of one head.
    """
    batch, heads, length, size = x.shape
    if mix:
        return np.stack([sample.flatten().reshape(length, heads * size) for sample in x])
    out = np.zeros((batch, length, heads * size))
    for h in range(heads):
        out[:, :, h * size : (h + 1) * size] = x[:, h]
    return out


def auto_correlation(q: Floats, k: Floats, v: Floats, top: int) -> Floats:
    """Autoformer (Wu et al. 2021) eq. 5-6, delays chosen per sample.

    q, k, v (B, H, L, E) -> (B, H, L, E). R(tau) = sum_t q[t] k[t - tau], circular, a sum over time
    and the mean over heads and channels (as the published code has it); the `top` delays of
    largest R, w = softmax of their R, out[t] = sum_i w_i v[t + tau_i], circular.
    """
    batch, _, length, _ = q.shape
    out = np.zeros_like(v)
    for b in range(batch):
        correlation = np.zeros(length)
        for tau in range(length):
            products = q[b] * np.roll(k[b], tau, axis=1)
            correlation[tau] = products.sum(axis=1).mean()
        delays = np.argsort(-correlation, kind="stable")[:top]
        for weight, tau in zip(softmax(correlation[delays]), delays, strict=True):
            out[b] += weight * np.roll(v[b], -int(tau), axis=1)
    return out


# Around attention


def distil(
    x: Floats,
    conv_weight: Floats,
    conv_bias: Floats,
    bn_weight: Floats,
    bn_bias: Floats,
    bn_mean: Floats,
    bn_var: Floats,
) -> Floats:
    """Distilling, Informer eq. 5: MaxPool(ELU(BatchNorm(Conv1d(x)))).

    The convolution is circular with kernel 3 and padding 1, BatchNorm (in the code, not in eq. 5)
    takes its running statistics, the pool has kernel 3, stride 2 and padding 1 (by -infinity).
    x (B, L, D), conv_weight (D, D, 3), all others (D,) -> (B, ceil(L / 2), D).
    """
    y = conv1d(x, conv_weight, conv_bias, 1, "circular")
    y = (y - bn_mean) / np.sqrt(bn_var + EPS) * bn_weight + bn_bias
    y = np.where(y > 0, y, np.expm1(np.minimum(y, 0)))
    batch, length, width = y.shape
    out = np.zeros((batch, math.ceil(length / 2), width))
    for t in range(out.shape[1]):
        out[:, t] = y[:, max(2 * t - 1, 0) : 2 * t + 2].max(axis=1)
    return out


def feed_forward(
    x: Floats,
    w1: Floats,
    b1: Floats | None,
    w2: Floats,
    b2: Floats | None,
    activation: Function,
) -> Floats:
    """act(x W1 + b1) W2 + b2 (Vaswani et al. 2017, eq. 2).

    x (B, L, D), w1 (F, D), b1 (F,), w2 (D, F), b2 (D,) -> (B, L, D).
    """
    return linear(activation(linear(x, w1, b1)), w2, b2)


def gated_feed_forward(
    x: Floats,
    w_gate: Floats,
    b_gate: Floats | None,
    w_up: Floats,
    b_up: Floats | None,
    w2: Floats,
    b2: Floats | None,
    activation: Function,
) -> Floats:
    """(act(x Wg) * (x Wu)) W2 (Shazeer 2020, eq. 6), with biases where given.

    x (B, L, D), w_gate and w_up (F, D), b_gate and b_up (F,), w2 (D, F), b2 (D,) -> (B, L, D).
    """
    return linear(activation(linear(x, w_gate, b_gate)) * linear(x, w_up, b_up), w2, b2)


def post_norm(x: Floats, sublayer: Function, weight: Floats, bias: Floats) -> Floats:
    """LN(x + sublayer(x)) (Vaswani et al. 2017, sec. 3.1). x (B, L, D), weight, bias (D,)."""
    return layer_norm(x + sublayer(x), weight, bias)


def pre_norm(x: Floats, sublayer: Function, weight: Floats, bias: Floats) -> Floats:
    """x + sublayer(LN(x)) (Xiong et al. 2020, table 1). x (B, L, D), weight, bias (D,)."""
    return x + sublayer(layer_norm(x, weight, bias))


# Series


def moving_average(x: Floats, kernel: int) -> Floats:
    """Trend of Autoformer eq. 1 and DLinear: AvgPool(Padding(x)), ends repeated.

    x (B, L, C) -> (B, L, C) for an odd kernel; padded by (kernel - 1) // 2 at both ends.
    """
    length = x.shape[1]
    padding = (kernel - 1) // 2
    out = np.zeros((x.shape[0], length + 2 * padding - kernel + 1, x.shape[2]))
    for t in range(out.shape[1]):
        for offset in range(kernel):
            step = min(max(t - padding + offset, 0), length - 1)
            out[:, t] += x[:, step] / kernel
    return out


def revin(x: Floats, weight: Floats, bias: Floats) -> tuple[Floats, Floats, Floats]:
    """RevIN (Kim et al. 2022) eq. 1-2: each sample and channel by its own statistics over time.

    x (B, L, C), weight and bias (C,) -> normalised (B, L, C), mean (B, 1, C), std (B, 1, C).
    """
    mean = x.mean(axis=1, keepdims=True)
    std = np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + EPS)
    return (x - mean) / std * weight + bias, mean, std


def revin_inverse(y: Floats, mean: Floats, std: Floats, weight: Floats, bias: Floats) -> Floats:
    """RevIN (Kim et al. 2022) eq. 3: (y - b) / w * std + mean.

    y (B, L, C) of any L, mean and std (B, 1, C), weight and bias (C,) -> (B, L, C).
    """
    return (y - bias) / weight * std + mean


def patches(x: Floats, length: int, stride: int) -> Floats:
    """PatchTST (Nie et al. 2023) sec. 3.1: the last value repeated `stride` times, then windows.

    x (B, L, C) -> (B, C, N, length), N = (L + stride - length) // stride + 1.
    """
    batch, steps, channels = x.shape
    count = (steps + stride - length) // stride + 1
    out = np.zeros((batch, channels, count, length))
    for n in range(count):
        for offset in range(length):
            out[:, :, n, offset] = x[:, min(n * stride + offset, steps - 1)]
    return out
