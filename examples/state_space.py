#!/usr/bin/python3
"""The reference values of examples/state_space.c: the same models on the same series by NumPy and SciPy, without
derivatives. The hidden series is not filtered step by step here: what is seen of it is jointly normal, so its density is
written down at once, from the autocovariances.

    OMP_NUM_THREADS=1 /usr/bin/python3 examples/state_space.py [FILE.csv]
"""
import sys
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.stats

path = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "data" / "lynx.csv"
y = np.log(np.loadtxt(path, delimiter=",", skiprows=1)[:, -1])
n = len(y)


def hidden_density(p):
    """log p(y): the autocovariances of AR(2) obey its own recurrence; noise adds to the diagonal."""
    mean, a, b, log_s, log_r = p
    if not (abs(b) < 1 and abs(a) < 1 - b):     # not stationary
        return -1e9
    g = np.zeros(n)
    g[0] = np.exp(2 * log_s) * (1 - b) / ((1 + b) * ((1 - b)**2 - a * a))
    g[1] = a * g[0] / (1 - b)
    for k in range(2, n):
        g[k] = a * g[k - 1] + b * g[k - 2]
    factor = np.linalg.cholesky(scipy.linalg.toeplitz(g) + np.exp(2 * log_r) * np.eye(n))
    z = scipy.linalg.solve_triangular(factor, y - mean, lower=True)
    return scipy.stats.norm.logpdf(z).sum() - np.log(np.diag(factor)).sum()


def ar_density(p):
    mean, a, b, log_s = p
    expected = mean + a * (y[1:-1] - mean) + b * (y[:-2] - mean)
    return scipy.stats.norm(expected, np.exp(log_s)).logpdf(y[2:]).sum()


def maximum(density, start):
    best = start
    for _ in range(4):
        best = scipy.optimize.minimize(lambda p: -density(p), best, method="Nelder-Mead",
                                       options=dict(xatol=1e-10, fatol=1e-13, maxiter=20000, maxfev=20000)).x
    return best, density(best)


p, top = maximum(ar_density, np.array([5.0, 0.5, 0.0, 0.0]))
print(f"AR(2): mean {p[0]:.6f}, coefficients {p[1]:.6f} and {p[2]:.6f}, deviation {np.exp(p[3]):.6f}, "
      f"log likelihood {top:.6f}")
p, top = maximum(hidden_density, np.array([p[0], p[1], p[2], p[3], -1.5]))
print(f"seen through noise: mean {p[0]:.6f}, coefficients {p[1]:.6f} and {p[2]:.6f}, deviation {np.exp(p[3]):.6f}, of the "
      f"noise {np.exp(p[4]):.6f}, log likelihood {top:.10f}")
