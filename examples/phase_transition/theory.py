"""The Donoho-Tanner curve, and where measured success rates cross one half."""

import math


def boundary(delta):
    """The sparsity rho = k/n up to which l1 minimisation succeeds at undersampling delta = n/N, N large.

    Donoho and Tanner's weak threshold for coefficients of either sign, in the parametric form that state
    evolution gives it (Donoho, Maleki, Montanari, "Message-passing algorithms for compressed sensing",
    PNAS 106, 2009): delta = 2 phi / (z + 2 (phi - z Q)), rho = 1 - z Q / phi, with the normal density phi
    and upper tail Q at z.
    """
    low, high = 0.0, 40.0  # delta falls from 1 to 0 as the threshold z grows
    for _ in range(100):
        middle = (low + high) / 2
        if _undersampling(middle) > delta:
            low = middle
        else:
            high = middle
    return 1 - low * _upper_tail(low) / _density(low)


def _density(z):
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _upper_tail(z):
    return math.erfc(z / math.sqrt(2)) / 2


def _undersampling(z):
    return 2 * _density(z) / (z + 2 * (_density(z) - z * _upper_tail(z)))


def crossing(success):
    """The sparsity where the success rate is one half, of pairs (epsilon, rate) at steps step, 2 step, …

    The Spearman-Karber estimate: the area under a curve that falls from 1 to 0. It needs no model of the
    curve's shape and no single rate decides it.
    """
    pairs = sorted(success)
    step = pairs[0][0]
    return step / 2 + step * sum(rate for _, rate in pairs)
