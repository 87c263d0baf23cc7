"""The work of one optimiser step, by arithmetic alone: no model is built and torch is not needed.

The model is walked through part by part, as `informer/model.py` puts it together. Each part says
what it does in one optimiser step: the products of matrices, and the tensors that backward needs.
Elementwise work and spectra have no FLOPs here; their time goes with the tensors that they leave.

B windows, N tokens, D = d_model, L_Q queries, L_K keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from informer.config import DataConfig, ModelConfig, RunConfig, token_count
from informer.cost import Shape, encoded_tokens, natural_count

FLOAT = 4  # bytes
INDEX = 8
_WEIGHTS_ONLY, _FULL = 2, 3  # products of a map: forward, for its weights, for its input too


@dataclass(frozen=True)
class Work:
    """What a part of the model does in one optimiser step."""

    maps: float = 0.0  # FLOPs of linear maps and convolutions
    scores: float = 0.0  # FLOPs of products inside attention
    forward: float = 0.0  # FLOPs of both, those of the forward pass alone
    spectra: float = 0.0  # bytes of spectra
    saved: float = 0.0  # bytes that are kept for backward
    largest: float = 0.0  # bytes of the largest tensor
    calls: float = 0.0  # operations, forward

    def __add__(self, other: Work) -> Work:
        """Return the work of both parts, one after the other."""
        return Work(
            self.maps + other.maps,
            self.scores + other.scores,
            self.forward + other.forward,
            self.spectra + other.spectra,
            self.saved + other.saved,
            max(self.largest, other.largest),
            self.calls + other.calls,
        )


def step_work(config: RunConfig) -> Work:
    """Return the work of one optimiser step of the model, without the optimiser's own."""
    data, model, shape = config.data, config.model, Shape.of(config)
    windows, forecast = data.batch_size, shape.forecast
    # The data need no gradient; behind a learned cycle or the weights of revin there is one.
    cyclic = model.cycle != "none"
    learned = cyclic or model.normalisation == "revin"
    passes = _FULL if learned else _WEIGHTS_ONLY
    seen = windows * data.seq_len * shape.columns
    foretold = windows * data.pred_len * forecast
    parts = [_kept(foretold)]
    if cyclic:
        parts.append(_cycle(config, shape))
    if cyclic and model.normalisation in ("standardise", "revin"):
        parts.append(_kept(2 * seen + foretold))
    if model.normalisation == "revin":
        parts.append(_kept(seen + foretold))
    # Of one column a view is kept, which is the batch itself where nothing was done to it.
    prepared = cyclic or model.normalisation != "none" or model.decomposition != "none"
    over_time = _linear(windows * forecast, data.seq_len, data.pred_len, passes, kept=False)
    over_time += _kept(seen * (prepared or forecast > 1))
    if model.decomposition == "moving_average":
        parts.append(over_time)
        if learned:  # the average keeps its input, and that padded
            ends = windows * (model.kernel - 1) * shape.columns
            parts.append(_kept(2 * seen + ends))
    if model.skip:
        parts.append(over_time)
    if shape.known:
        parts.append(_linear(windows * data.pred_len, shape.known, forecast, _WEIGHTS_ONLY))
    if model.e_layers:
        if model.channels == "independent":
            windows, shape = windows * forecast, shape.single()
        parts.append(_network(data, model, shape, windows, passes))
    return sum(parts, Work())


def _cycle(config: RunConfig, shape: Shape) -> Work:
    """Return the work of finding the steps of the cycle, taking it off and adding it."""
    data = config.data
    steps = data.batch_size * (data.seq_len + data.pred_len)
    return Work(saved=INDEX * steps, largest=FLOAT * steps * shape.columns, calls=20)


def _network(data: DataConfig, model: ModelConfig, shape: Shape, windows: int, passes: int) -> Work:
    width = model.d_model
    if model.tokens == "inverted":
        known = shape.known + (len(shape.calendar) if model.temporal == "linear" else 0)
        rows = windows * (shape.columns + known)
        return (
            _linear(windows * shape.columns, data.seq_len, width, passes)
            + _linear(windows * known, data.seq_len + data.pred_len, width, _WEIGHTS_ONLY)
            + _dropout(model, rows * width)
            + _encoder(model, windows, shape.columns + known)
            + _linear(windows * shape.forecast, width, data.pred_len)
        )
    tokens = token_count(data, model)
    if model.tokens == "patch":
        values = _linear(windows * tokens, shape.columns * model.patch_len, width, passes)
    else:
        values = _convolution(windows, tokens, shape.columns, width, passes)
    left = encoded_tokens(model, tokens)
    match model.head:
        case "decoder":
            head = _decoder(data, model, shape, windows, left, passes)
        case "linear":
            head = _linear(windows, left * width, data.pred_len * shape.forecast)
        case "step_linear":
            head = _linear(windows * left, width, shape.forecast)
            head += _linear(windows * shape.forecast, left, data.pred_len)
    return (
        values
        + _known(model, shape, windows * tokens)
        + _dropout(model, windows * tokens * width)
        + _encoder(model, windows, tokens)
        + head
    )


def _known(model: ModelConfig, shape: Shape, rows: int) -> Work:
    """Return the work of adding what is known to each of `rows` tokens."""
    mapped = shape.known + (len(shape.calendar) if model.temporal == "linear" else 0)
    work = _linear(rows, mapped, model.d_model, _WEIGHTS_ONLY)
    if model.temporal == "learned":
        work += Work(saved=INDEX * rows * len(shape.calendar), calls=5 * len(shape.calendar))
    return work


def _encoder(model: ModelConfig, windows: int, tokens: int) -> Work:
    work = Work()
    for number in range(model.e_layers):
        if number and model.distils:
            work += _distilling(model, windows, tokens)
            tokens = (tokens + 1) // 2
        if model.attention != "none":
            work += _self_attention(model, windows, tokens)
        work += _feed_forward(model, windows * tokens)
    return work + _norm(model, windows * tokens)


def _distilling(model: ModelConfig, windows: int, tokens: int) -> Work:
    elements = windows * tokens * model.d_model
    pooled = windows * ((tokens + 1) // 2) * model.d_model
    replicated = model.padding == "replicate"  # kept with and without the padding
    return (
        _convolution(windows, tokens, model.d_model, model.d_model)
        + _kept(elements, 3 + replicated, calls=4)  # inputs of batch norm, ELU and pooling
        + Work(saved=INDEX * pooled)
    )


def _decoder(
    data: DataConfig, model: ModelConfig, shape: Shape, windows: int, memory: int, passes: int
) -> Work:
    width, length = model.d_model, data.label_len + data.pred_len
    work = (
        _convolution(windows, length, shape.columns, width, passes)
        + _known(model, shape, windows * length)
        + _dropout(model, windows * length * width)
    )
    for number in range(model.d_layers):
        if model.attention != "none":
            work += _self_attention(model, windows, length, causal=True)
        if number == model.d_layers - 1:
            length = data.pred_len
        work += _cross_attention(model, windows, length, memory, first=number == 0)
        work += _feed_forward(model, windows * length)
    rows = windows * length
    return work + _norm(model, rows) + _linear(rows, width, shape.forecast)


# -- sublayers ----------------------------------------------------------------------------------


def _self_attention(model: ModelConfig, windows: int, tokens: int, *, causal: bool = False) -> Work:
    rows, width = windows * tokens, model.d_model
    match model.attention:
        case "prob":
            between = _kept(3 * rows * width) + _prob_sparse(model, windows, tokens, causal)
        case "auto_correlation":
            spectrum = 2 * windows * (tokens // 2 + 1) * width  # of complex numbers
            between = _kept(3 * rows * width) + _kept(spectrum, 3, calls=20)
            between += Work(spectra=3 * FLOAT * spectrum)
        case "full":
            between = _kept(3 * rows * width) + _full(model, windows, tokens, tokens)
        case "none":
            raise ValueError("model.attention none has no work; leave the sublayer out.")
    work = _linear(rows, width, 3 * width) + between + _linear(rows, width, width)
    return work + _around(model, rows)


def _cross_attention(
    model: ModelConfig, windows: int, queries: int, memory: int, *, first: bool
) -> Work:
    rows, remembered, width = windows * queries, windows * memory, model.d_model
    return (
        _linear(rows, width, width)
        + _linear(remembered, width, 2 * width, kept=first)  # all layers read the same memory
        + _kept(2 * remembered * width)
        + _full(model, windows, queries, memory)
        + _linear(rows, width, width)
        + _around(model, rows)
    )


def _full(model: ModelConfig, windows: int, queries: int, keys: int) -> Work:
    scores = windows * model.n_heads * queries * keys
    products = 2 * 2 * windows * queries * keys * model.d_model
    work = Work(scores=_FULL * products, forward=products, calls=3) + _kept(
        windows * queries * model.d_model
    )
    return work + _kept(scores) + _dropout(model, scores, kept=2)


def _prob_sparse(model: ModelConfig, windows: int, tokens: int, causal: bool) -> Work:
    exact = natural_count(model.factor, tokens)
    width, pairs = model.d_model, windows * model.n_heads
    products, measuring = 2 * 2 * windows * exact * tokens * width, 0
    if exact < tokens:
        sample = exact if model.sampled_keys == "shared" else tokens
        measuring = 2 * windows * tokens * sample * width  # without gradients
    return (
        Work(
            scores=_FULL * products + measuring,
            forward=products + measuring,
            saved=INDEX * pairs * exact,
            calls=20,
        )
        + _kept(windows * exact * width)
        + _kept(pairs * exact * tokens)
        + Work(saved=causal * pairs * exact * tokens)  # the mask, a byte each
    )


def _feed_forward(model: ModelConfig, rows: int) -> Work:
    inner = rows * model.d_ff
    gated, relu = model.ffn == "gated", model.activation == "relu"
    # relu remembers its result, the others their input and so the result too where it is needed.
    work = _linear(rows, model.d_model, model.d_ff) + _kept(inner * (not relu))
    if gated:
        work += _linear(rows, model.d_model, model.d_ff, kept=False) + _kept(inner, 2)
    work += _linear(rows, model.d_ff, model.d_model)
    dropout = _dropout(model, inner)
    if relu and not gated and dropout.saved:
        work += _kept(inner)
    return work + dropout + _around(model, rows)


def _around(model: ModelConfig, rows: int) -> Work:
    """Return the work of the dropout, the sum and the norm of a residual."""
    return _dropout(model, rows * model.d_model) + _norm(model, rows)


# -- operations ---------------------------------------------------------------------------------


def _linear(
    rows: int, inputs: int, outputs: int, passes: int = _FULL, *, kept: bool = True
) -> Work:
    """Return the work of a linear map; `kept` is false where another keeps the same input."""
    if not inputs:
        return Work()
    products = 2 * rows * inputs * outputs
    return Work(
        maps=passes * products,
        forward=products,
        saved=FLOAT * rows * inputs * kept,
        largest=FLOAT * rows * max(inputs, outputs),
        calls=1,
    )


def _convolution(windows: int, length: int, inputs: int, outputs: int, passes: int = _FULL) -> Work:
    """Return the work of a convolution of kernel 3, which keeps its padded input."""
    products = 2 * windows * length * 3 * inputs * outputs
    return Work(
        maps=passes * products,
        forward=products,
        largest=FLOAT * windows * length * outputs,
        calls=1,
    ) + _kept(windows * (length + 2) * inputs)


def _dropout(model: ModelConfig, elements: int, kept: int = 1) -> Work:
    return _kept(elements, kept, calls=5) if round(model.dropout * 2**16) else Work()


def _norm(model: ModelConfig, rows: int) -> Work:
    return Work() if model.norm == "none" else _kept(rows * (model.d_model + 2))


def _kept(elements: int, tensors: int = 1, *, calls: int = 1) -> Work:
    """Return the work of elementwise operations that keep tensors of so many float32 numbers."""
    return Work(saved=FLOAT * elements * tensors, largest=FLOAT * elements, calls=calls)
