"""PyTorch as the peer of bench/steps and bench/seq: a child process that obeys lines on stdin.

    row KIND NUMBERS...   builds a training step (or a gradient) from the formulas of
                          bench/step_models.c and bench/seq_models.c
    check                 answers with numbers that must agree with ours
    time REPEATS          answers with the seconds that so many steps take

Ordinary eager code: zero_grad(set_to_none), backward, step, on tensors that are already there.
Where Adam has two implementations (one loop over the parameters, or "foreach"), the faster counts.
"""
import math
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F


def uniform(stream, shape):
    """bench_uniform of bench/bench.c: splitmix64 of a counter, as numbers of [-1, 1)."""
    n = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        z = (np.arange(n, dtype=np.uint64) + np.uint64((stream << 32) + 1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(11)).astype(np.float64) * 2.0 ** -52 - 1).reshape(shape)


def tensor(stream, shape, scale=1.0, dtype=torch.float64):
    return torch.from_numpy(np.ascontiguousarray(scale * uniform(stream, shape))).to(dtype)


def seconds(step, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return time.perf_counter() - start


class Dense:
    """Layers with relu between them; cross-entropy on classes, or the mean square of x's error."""

    def __init__(self, head, optimiser, rate, batch, *sizes):
        batch, sizes = int(batch), [int(n) for n in sizes]
        self.head, self.sizes = head, sizes
        self.x = (tensor(0, (batch, sizes[0]), 0.5) + 0.5).float()
        self.labels = torch.from_numpy(((uniform(1, (batch,)) + 1) / 2 * sizes[-1]).astype(np.int64))
        choices = [False, True] if optimiser == "adam" else [None]
        steps = [self.make(optimiser, float(rate), foreach) for foreach in choices]
        for step in steps:
            seconds(step, 3)
        took = [min(seconds(step, 5) for _ in range(3)) for step in steps]
        self.step = self.make(optimiser, float(rate), choices[took.index(min(took))])

    def make(self, optimiser, rate, foreach):
        layers = []
        for k, (n_in, n_out) in enumerate(zip(self.sizes, self.sizes[1:])):
            layer = torch.nn.Linear(n_in, n_out)
            w = tensor(10 + k, (n_in, n_out), math.sqrt(6 / (n_in + n_out))).float()
            layer.weight.data = w.t().contiguous()
            layer.bias.data.zero_()
            layers += [layer, torch.nn.ReLU()]
        net = torch.nn.Sequential(*layers[:-1])
        if optimiser == "adam":
            opt = torch.optim.Adam(net.parameters(), lr=rate, foreach=foreach)
        else:
            opt = torch.optim.SGD(net.parameters(), lr=rate)
        x, target = self.x, self.labels if self.head == "xent" else self.x
        loss_of = F.cross_entropy if self.head == "xent" else F.mse_loss

        def step():
            opt.zero_grad(set_to_none=True)
            loss = loss_of(net(x), target)
            loss.backward()
            opt.step()
            return loss

        return step

    def check(self):
        return [self.step().item() for _ in range(4)]


class Gradient:
    """A value and its gradient by leaves."""

    def __init__(self, leaves):
        self.leaves = [leaf.requires_grad_() for leaf in leaves]

    def step(self):
        for leaf in self.leaves:
            leaf.grad = None
        loss = self.loss()
        loss.backward()
        return loss

    def check(self):
        return [self.step().item()] + [leaf.grad.abs().sum().item() for leaf in self.leaves]


class Logistic(Gradient):
    """Maximum a posteriori: the cross-entropy of y with sigmoid(X w + b), and |w|^2 / 2."""

    def __init__(self, rows, cols):
        rows, cols = int(rows), int(cols)
        self.x = tensor(0, (rows, cols))
        self.y = (tensor(1, (rows,)) > 0).double()
        self.w, self.b = tensor(10, (cols,)), tensor(11, ())
        super().__init__([self.w, self.b])

    def loss(self):
        z = torch.mv(self.x, self.w) + self.b
        nll = F.binary_cross_entropy_with_logits(z, self.y, reduction="sum")
        return nll + 0.5 * self.w.square().sum()


class Mixture(Gradient):
    """-sum_n log sum_k pi_k N(x_n; mu_k, sigma_k)."""

    def __init__(self, rows, parts):
        rows, parts = int(rows), int(parts)
        self.x = tensor(0, (rows, 1), 3.0)
        self.logits, self.mu = tensor(10, (parts,)), tensor(11, (parts,), 2.0)
        self.log_sigma = tensor(12, (parts,), 0.3)
        super().__init__([self.logits, self.mu, self.log_sigma])

    def loss(self):
        z = (self.x - self.mu) * torch.exp(-self.log_sigma)
        base = torch.log_softmax(self.logits, 0) - self.log_sigma - 0.91893853320467274178
        return -torch.logsumexp(base - 0.5 * z * z, 1).sum()


class Chain(Gradient):
    """Five scalar ops a step: recipe_chain of bench/graphs.c."""

    def __init__(self, ops):
        self.steps = int(ops) // 5
        at = [0.7, 0.3, 2.0 / self.steps]
        super().__init__([torch.tensor(a, dtype=torch.float64) for a in at])

    def loss(self):
        v, b, h = self.leaves
        for _ in range(self.steps):
            v = v + h * (torch.sin(v) - b * v)
        return v


class Sequence:
    """A recurrent layer over x [T, B, I], a linear layer on each state, cross-entropy, plain SGD.

    The RNN is a loop by hand; LSTM and GRU are PyTorch's own layers. They have two biases, of which
    the second stays at 0."""

    def __init__(self, kind, rate, steps, batch, n_in, hidden, classes):
        self.rate = float(rate)
        steps, batch, n_in, hidden, classes = (int(n) for n in (steps, batch, n_in, hidden, classes))
        self.x = tensor(0, (steps, batch, n_in)).float()
        self.labels = torch.from_numpy(((uniform(1, (steps * batch,)) + 1) / 2 * classes).astype(np.int64))
        width = hidden * {"rnn": 1, "lstm": 4, "gru": 3}[kind]
        w = tensor(10, (n_in, width), 1 / math.sqrt(n_in)).float()
        u = tensor(11, (hidden, width), 1 / math.sqrt(hidden)).float()
        b = tensor(12, (width,), 1 / math.sqrt(hidden)).float()
        self.v = tensor(13, (hidden, classes), 1 / math.sqrt(hidden)).float().requires_grad_()
        self.c = tensor(14, (classes,), 1 / math.sqrt(hidden)).float().requires_grad_()
        if kind == "rnn":
            self.w, self.u, self.b = w.requires_grad_(), u.requires_grad_(), b.requires_grad_()
            self.zero = torch.zeros(batch, hidden)
            self.states = self.by_hand
            params = [self.w, self.u, self.b]
        else:
            layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](n_in, hidden)
            layer.weight_ih_l0.data = w.t().contiguous()
            layer.weight_hh_l0.data = u.t().contiguous()
            layer.bias_ih_l0.data = b
            layer.bias_hh_l0.data.zero_()
            layer.bias_hh_l0.requires_grad_(False)
            self.states = lambda: layer(self.x)[0]
            params = [p for p in layer.parameters() if p.requires_grad]
        self.opt = torch.optim.SGD(params + [self.v, self.c], lr=self.rate)

    def by_hand(self):
        h, states = self.zero, []
        for x in self.x:
            h = torch.tanh(x @ self.w + h @ self.u + self.b)
            states.append(h)
        return torch.stack(states)

    def step(self):
        self.opt.zero_grad(set_to_none=True)
        logits = self.states().flatten(0, 1) @ self.v + self.c
        loss = F.cross_entropy(logits, self.labels)
        loss.backward()
        self.opt.step()
        return loss

    def check(self):
        return [self.step().item() for _ in range(4)]


class Pendulum(Gradient):
    """theta'' = -k sin(theta) - c theta' by RK4 over ten units of time; the last angle."""

    def __init__(self, steps):
        self.steps = int(steps)
        super().__init__([tensor(20 + i, ()) for i in range(4)])

    def loss(self):
        theta, omega, k, c = self.leaves
        h = 10 / self.steps
        for _ in range(self.steps):
            v, a = [omega], [-(k * torch.sin(theta) + c * omega)]
            for by in (h / 2, h / 2, h):
                angle = theta + by * v[-1]
                v.append(omega + by * a[-1])
                a.append(-(k * torch.sin(angle) + c * v[-1]))
            theta = theta + h / 6 * (v[0] + 2 * (v[1] + v[2]) + v[3])
            omega = omega + h / 6 * (a[0] + 2 * (a[1] + a[2]) + a[3])
        return theta


KINDS = {"dense": Dense, "logistic": Logistic, "mixture": Mixture, "chain": Chain, "sequence": Sequence,
         "pendulum": Pendulum}


def main():
    torch.set_num_threads(int(sys.argv[1]))
    print("torch", torch.__version__, flush=True)
    row = None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "row":
            row = KINDS[words[1]](*words[2:])
            print("ok", flush=True)
        elif words[0] == "check":
            print(*[repr(number) for number in row.check()], flush=True)
        elif words[0] == "time":
            print(repr(seconds(row.step, int(words[1]))), flush=True)


if __name__ == "__main__":
    main()
