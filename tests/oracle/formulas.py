"""Formulas that NumPy has no function for, in the dtype of their operands (generate.py hands in longdouble), and
TWINS, second sources that generate.py holds the table against. Used by table.py and generate.py."""
import numpy as np
import scipy.special
import scipy.stats
import torch


def tup(axes):
    return None if axes is None else tuple(axes)


# ---- elementwise -----------------------------------------------------------------------------------

def mul0(a, b):
    return np.where((a == 0) | (b == 0), a.dtype.type(0), a * b)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))     # longdouble reaches to exp(11356)


def softplus(x):
    return np.logaddexp(x, x.dtype.type(0))


def relu(x):
    return np.maximum(x, x.dtype.type(0))


def leaky_relu(x, slope=0.01):
    return np.where(x > 0, x, x.dtype.type(slope) * x)


def silu(x):
    return x * sigmoid(x)


def gelu(x):
    x = x.astype(np.float64)
    return x * scipy.special.ndtr(x)


def erf(x):
    return scipy.special.erf(x.astype(np.float64))


def clamp(x, lo, hi):
    return np.where(np.isnan(x), x, np.minimum(np.maximum(x, x.dtype.type(lo)), x.dtype.type(hi)))


def cast(x, dtype):
    if x.dtype.kind != "f" or np.dtype(dtype).kind != "i":
        return x.astype(dtype)      # integers wrap, anything to bool is x != 0
    info = np.iinfo(dtype)
    t = np.trunc(x.astype(np.float64))
    inside = (t >= info.min) & (t < float(info.max // 2 + 1) * 2)
    t = np.where(inside, t, 0).astype(dtype)
    return np.where(inside, t, np.where(np.isnan(x), 0, np.where(x > 0, info.max, info.min))).astype(dtype)


def normal_logpdf(x, mean, std):
    z = (x - mean) / std
    return -z * z / 2 - np.log(std) - np.log(2 * np.arccos(x.dtype.type(-1))) / 2


def laplace_logpdf(x, loc, scale):
    return -np.abs(x - loc) / scale - np.log(2 * scale)


# ---- reductions ------------------------------------------------------------------------------------

def reduction(f, **fixed):
    """NumPy's f(x, axis=, keepdims=) with our attribute names; `dtype=None` keeps x's dtype."""
    def call(x, axes=None, keepdims=False):
        return f(x, axis=tup(axes), keepdims=keepdims, **({"dtype": x.dtype} if "dtype" in fixed else fixed))
    return call


def logsumexp(x, axes=None, keepdims=False):
    m = np.max(x, axis=tup(axes), keepdims=True, initial=-np.inf)
    m = np.where(np.isfinite(m), m, 0)
    s = np.log(np.sum(np.exp(x - m), axis=tup(axes), keepdims=True)) + m
    return s if keepdims else np.squeeze(s, axis=tup(axes))


def arg(f):
    def call(x, axis, keepdims=False):
        return np.asarray(f(x, axis=axis, keepdims=keepdims)).astype(np.int32)
    return call


def cumsum(x, axis, reverse=False, exclusive=False):
    x = np.flip(x, axis) if reverse else x
    y = np.cumsum(x, axis=axis, dtype=x.dtype)
    if exclusive and x.shape[axis]:
        first = np.zeros_like(np.take(x, [0], axis))
        y = np.concatenate([first, np.take(y, range(x.shape[axis] - 1), axis)], axis)
    return np.flip(y, axis) if reverse else y


# ---- shapes and indices ----------------------------------------------------------------------------

def slices(x, start, stop, step=None):
    step = step or [1] * x.ndim
    return x[tuple(slice(*s) for s in zip(start, stop, step))]


def unslice(x, shape, start, stop, step=None):
    y = np.zeros(shape, x.dtype)
    y[tuple(slice(*s) for s in zip(start, stop, step or [1] * y.ndim))] = x
    return y


def section(x, start, size, step=None):
    step = step or [1] * x.ndim
    return x[tuple(slice(a, a + n * s, s) for a, n, s in zip(start, size, step))]


def place(x, start, shape, step=None):
    y = np.zeros(shape, x.dtype)
    step = step or [1] * x.ndim
    y[tuple(slice(a, a + n * s, s) for a, n, s in zip(start, x.shape, step))] = x
    return y


def pad(x, low, high, value=0.0):
    return np.pad(x, list(zip(low, high)), constant_values=x.dtype.type(value)) if x.ndim else x


def scatter_add(x, indices, updates, axis=0):
    y = np.array(x)
    at = (slice(None),) * (axis % x.ndim) + (indices,)
    np.add.at(y, at, updates)
    return y


def pick(x, index):
    return np.take_along_axis(x, index[..., None].astype(np.int64), -1)[..., 0]


def one_hot(indices, depth, dtype=np.float32):
    return (indices[..., None] == np.arange(depth)).astype(dtype)


def iota(shape, axis=0, dtype=np.int32):
    return np.indices(shape)[axis].astype(dtype)


def element_count(shape, dtype=np.float32):
    return np.asarray(int(np.prod(shape)), dtype)


# ---- matrices and classes --------------------------------------------------------------------------

def matmul(a, b, transpose_a=False, transpose_b=False):
    return np.matmul(np.swapaxes(a, -1, -2) if transpose_a else a, np.swapaxes(b, -1, -2) if transpose_b else b)


def log_softmax(x, axis=-1):
    if x.size == 0:
        return x
    d = x - np.max(x, axis=axis, keepdims=True)
    return d - np.log(np.sum(np.exp(d), axis=axis, keepdims=True))


def softmax(x, axis=-1):
    return np.exp(log_softmax(x, axis))


def softmax_xent(logits, labels):
    return -np.take_along_axis(log_softmax(logits), labels[..., None].astype(np.int64), -1)[..., 0]


# ---- recurrent cells: the gates side by side in PyTorch's order ---------------------------------------

def rnn_cell(x, h, w, u, b, activation="tanh"):
    return {"tanh": np.tanh, "relu": relu}[activation](x @ w + h @ u + b)


def lstm_gates(a, c, forget_bias=0.0):
    i, f, g, o = np.split(a, 4, -1)
    d = sigmoid(f + a.dtype.type(forget_bias)) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(d), d


def lstm_cell(x, h, c, w, u, b, forget_bias=0.0):
    return lstm_gates(x @ w + h @ u + b, c, forget_bias)


def lstm_peephole_cell(x, h, c, w, u, b, p, forget_bias=0.0):
    i, f, g, o = np.split(x @ w + h @ u + b, 4, -1)
    d = sigmoid(f + p[1] * c + x.dtype.type(forget_bias)) * c + sigmoid(i + p[0] * c) * np.tanh(g)
    return sigmoid(o + p[2] * d) * np.tanh(d), d


def layer_norm(x, epsilon):
    d = x - np.mean(x, -1, keepdims=True)
    return d / np.sqrt(np.mean(d * d, -1, keepdims=True) + x.dtype.type(epsilon))


def lstm_norm_cell(x, h, c, w, u, b, gain, bias, forget_bias=0.0, epsilon=1e-5):
    n = h.shape[-1]
    a = gain[:4 * n] * layer_norm(x @ w, epsilon) + gain[4 * n:8 * n] * layer_norm(h @ u, epsilon) + b
    d = lstm_gates(a, c, forget_bias)[1]
    return sigmoid(a[..., 3 * n:]) * np.tanh(gain[8 * n:] * layer_norm(d, epsilon) + bias), d


def gru_gates(a, s, h):
    (ar, az, an), (sr, sz, sn) = np.split(a, 3, -1), np.split(s, 3, -1)
    z, n = sigmoid(az + sz), np.tanh(an + sigmoid(ar + sr) * sn)
    return (1 - z) * n + z * h


def gru_cell(x, h, w, u, b, v):
    return gru_gates(x @ w + b, h @ u + v, h)


# ---- second sources, in f64 --------------------------------------------------------------------------

def torch_xent(logits, labels):
    flat = torch.from_numpy(logits.reshape(-1, logits.shape[-1]))
    target = torch.from_numpy(labels.reshape(-1).astype(np.int64))
    return torch.nn.functional.cross_entropy(flat, target, reduction="none").numpy().reshape(labels.shape)


def torch_scatter_add(x, indices, updates, axis=0):
    if indices.ndim != 1:
        return None
    return torch.from_numpy(x.copy()).index_add(axis, torch.from_numpy(indices), torch.from_numpy(updates)).numpy()


def torch_cumsum(x, axis, reverse=False, exclusive=False):
    t = torch.from_numpy(x.copy())
    t = t.flip(axis) if reverse else t
    y = torch.cumsum(t, axis, dtype=t.dtype) - (t if exclusive else 0)
    return (y.flip(axis) if reverse else y).numpy() if np.isfinite(x).all() or not exclusive else None


def torch_gather(x, indices, axis=0):
    return torch.index_select(torch.from_numpy(x.copy()), axis, torch.from_numpy(indices)).numpy() \
        if indices.ndim == 1 and x.ndim else None


def torch_laplace(x, loc, scale):
    x, loc, scale = (torch.from_numpy(np.array(v)) for v in (x, loc, scale))
    return torch.distributions.Laplace(loc, scale, validate_args=False).log_prob(x).numpy()


def tensors(*arrays):
    return [torch.from_numpy(np.array(x)) for x in arrays]


def torch_cell(kind, **options):
    """torch.nn.RNNCell and its like with the operands' weights; batches of one axis only."""
    def call(x, h, *rest, forget_bias=0.0, activation=None):
        if x.ndim != 2 or x.size == 0:
            return None
        states, (w, u, b, *v) = ([h, rest[0]], rest[1:]) if kind is torch.nn.LSTMCell else ([h], rest)
        extra = dict(nonlinearity=activation) if activation else {}
        cell = kind(w.shape[0], u.shape[0], dtype=torch.float64, **extra)
        second = np.array(v[0]) if v else np.zeros_like(b)
        if kind is torch.nn.LSTMCell:
            second[len(b) // 4:len(b) // 2] = forget_bias
        with torch.no_grad():
            for p, value in zip((cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh), (w.T, u.T, b, second)):
                p.copy_(torch.from_numpy(np.array(value)))
            out = cell(tensors(x)[0], tuple(tensors(*states)) if len(states) > 1 else tensors(h)[0])
        return tuple(y.numpy() for y in out) if len(states) > 1 else out.numpy()
    return call


def torch_norm_cell(x, h, c, w, u, b, gain, bias, forget_bias=0.0, epsilon=1e-5):
    n = h.shape[-1]
    x, h, c, w, u, b, gain, bias = tensors(x, h, c, w, u, b, gain, bias)
    norm = torch.nn.functional.layer_norm
    a = norm(x @ w, (4 * n,), gain[:4 * n], b, epsilon) + norm(h @ u, (4 * n,), gain[4 * n:8 * n], None, epsilon)
    i, f, g, o = a.chunk(4, -1)
    d = torch.sigmoid(f + forget_bias) * c + torch.sigmoid(i) * torch.tanh(g)
    return (torch.sigmoid(o) * torch.tanh(norm(d, (n,), gain[8 * n:], bias, epsilon))).numpy(), d.numpy()


TWINS = {
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: torch.nn.functional.softplus(torch.from_numpy(x.copy()), threshold=700).numpy(),
    "relu": lambda x: torch.relu(torch.from_numpy(x.copy())).numpy(),
    "silu": lambda x: torch.nn.functional.silu(torch.from_numpy(x.copy())).numpy(),
    "gelu": lambda x: torch.nn.functional.gelu(torch.from_numpy(x.copy())).numpy(),
    "leaky_relu": lambda x, slope=0.01: torch.nn.functional.leaky_relu(torch.from_numpy(x.copy()), slope).numpy(),
    "erf": lambda x: torch.erf(torch.from_numpy(x.copy())).numpy(),
    "normal_logpdf": scipy.stats.norm.logpdf,
    "laplace_logpdf": torch_laplace,
    "logsumexp": lambda x, axes=None, keepdims=False:
        torch.logsumexp(torch.from_numpy(x.copy()), tup(axes) or tuple(range(x.ndim)), keepdim=keepdims).numpy()
        if x.size and x.ndim else None,
    "softmax": lambda x, axis=-1: scipy.special.softmax(x, axis) if x.size else None,
    "log_softmax": lambda x, axis=-1: scipy.special.log_softmax(x, axis) if x.size else None,
    "softmax_xent": torch_xent,
    "scatter_add": torch_scatter_add,
    "cumsum": torch_cumsum,
    "gather": torch_gather,
    "pick": lambda x, index:
        torch.gather(torch.from_numpy(x.copy()), -1, torch.from_numpy(index.astype(np.int64))[..., None])[..., 0].numpy()
        if x.size else None,
    "one_hot": lambda i, depth, dtype=np.float32:
        torch.nn.functional.one_hot(torch.from_numpy(i.astype(np.int64)), depth).numpy()
        if i.size and depth and ((i >= 0) & (i < depth)).all() else None,
    "matmul": lambda a, b, transpose_a=False, transpose_b=False:
        torch.matmul(*(torch.from_numpy(x.copy()).transpose(-1, -2) if t else torch.from_numpy(x.copy())
                       for x, t in ((a, transpose_a), (b, transpose_b)))).numpy(),
    "rnn_cell": torch_cell(torch.nn.RNNCell),
    "lstm_cell": torch_cell(torch.nn.LSTMCell),
    "gru_cell": torch_cell(torch.nn.GRUCell),
    "lstm_norm_cell": torch_norm_cell,
}
