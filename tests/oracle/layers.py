"""Whole recurrent layers by PyTorch in f64, outputs and gradients, for tests/test_rnn.c. Used by generate.py.

torch.nn.RNN, LSTM and GRU hold weights transposed and two biases, w = weight_ih', u = weight_hh', b = bias_ih and, for
GRU, v = bias_hh (else bias_hh is 0, or the forget bias). The gradients are those of sum(y * dy) + sum(h * dh) +
sum(c * dc).
"""
import json

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CASES = {
    "rnn_layers_tanh": [dict(kind="tanh", layers=2, bidirectional=True, lengths=[4, 1, 3]), dict(kind="tanh")],
    "rnn_layers_relu": [dict(kind="relu", layers=2), dict(kind="relu", bidirectional=True, lengths=[2, 4, 4])],
    "rnn_layers_lstm": [dict(kind="lstm", layers=2, forget_bias=1.0), dict(kind="lstm", lengths=[1, 3, 2])],
    "rnn_layers_lstm_both": [dict(kind="lstm", layers=2, bidirectional=True, lengths=[3, 4, 2])],
    "rnn_layers_gru": [dict(kind="gru", lengths=[2, 3, 4]), dict(kind="gru", layers=2, bidirectional=True)],
}
MODULES = {"tanh": torch.nn.RNN, "relu": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
STEPS, BATCH, INPUTS, HIDDEN = 4, 3, 2, 2


class Numbers:
    """Seeded leaf tensors of three decimals."""

    def __init__(self, seed):
        self.rng = np.random.Generator(np.random.PCG64(seed))

    def __call__(self, *shape):
        return torch.tensor(np.round(self.rng.uniform(-1, 1, shape), 3), requires_grad=True)


def build(case):
    extra = dict(nonlinearity=case["kind"]) if case["kind"] in ("tanh", "relu") else {}
    return MODULES[case["kind"]](INPUTS, HIDDEN, case.get("layers", 1), bidirectional=case.get("bidirectional", False),
                                 dtype=torch.float64, **extra)


def set_params(net, case, g):
    """Gives the net seeded weights; the parameters in our order, as (tensor of the net, transposed or not)."""
    params = []
    for k in range(0, len(net._flat_weights), 4):
        w_ih, w_hh, b_ih, b_hh = net._flat_weights[k:k + 4]
        with torch.no_grad():
            for p in (w_ih, w_hh, b_ih):
                p.copy_(g(*p.shape))
            b_hh.copy_(g(*b_hh.shape) if case["kind"] == "gru" else torch.zeros_like(b_hh))
            if case.get("forget_bias"):
                b_hh[HIDDEN:2 * HIDDEN] = case["forget_bias"]
        params += [w_ih, w_hh, b_ih] + ([b_hh] if case["kind"] == "gru" else [])
    return params


def run(net, case, x, states):
    states = tuple(states) if case["kind"] == "lstm" else states[0]
    if "lengths" not in case:
        return net(x, states)
    packed = pack_padded_sequence(x, torch.tensor(case["lengths"]), enforce_sorted=False)
    y, last = net(packed, states)
    return pad_packed_sequence(y, total_length=STEPS)[0], last


def ours(tensor):
    """A weight or its gradient in our layout."""
    return (tensor.T if tensor.ndim == 2 else tensor).contiguous()


def case_rows(case, seed, text):
    g = Numbers(seed)
    net = build(case)
    lstm = case["kind"] == "lstm"
    params = set_params(net, case, g)
    stacked = case.get("layers", 1) * (2 if case.get("bidirectional") else 1)
    x, states = g(STEPS, BATCH, INPUTS), [g(stacked, BATCH, HIDDEN) for _ in range(1 + lstm)]
    y, last = run(net, case, x, states)
    last = list(last) if lstm else [last]
    cotangents = [g(*v.shape) for v in [y] + last]
    sum((v * d.detach()).sum() for v, d in zip([y] + last, cotangents)).backward()

    def row(name, values):
        arrays = [v.detach().numpy() for v in values]
        return f'   "{name}": [' + ",\n    ".join(map(text, arrays)) + "]"
    options = ", ".join(f'"{k}": {json.dumps(v)}' for k, v in case.items())
    return "  {" + options + ",\n" + ",\n".join([
        row("inputs", [x] + states), row("params", map(ours, params)), row("outputs", [y] + last),
        row("cotangents", cotangents), row("input_gradients", [v.grad for v in [x] + states]),
        row("param_gradients", [ours(p.grad) for p in params])]) + "}"


def files(text):
    """{file name: text}; `text` writes a tensor."""
    return {name + ".json": '{"source": "PyTorch",\n "cases": [\n'
            + ",\n".join(case_rows(c, 100 * k + i, text) for i, c in enumerate(cases)) + "\n ]}\n"
            for k, (name, cases) in enumerate(CASES.items())}
