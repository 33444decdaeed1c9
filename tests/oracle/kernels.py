#!/usr/bin/env python3
"""Golden data of kernels/ref: linear layers and convolutions as torch computes them.

Made with torch 2.15.0 (CPU), in float64, numpy 2. Writes tests/golden/kernels/:
  linear.npy   f4, for each row of LINEAR: x, x2, w, bias, residual (those it has), y, one after another
  conv.npy     f4, for each row of CONV: x, w, bias, add, residual (those it has), y; pictures channels last
The rows are the same in kernels/ref/gemm_test.c and conv_test.c.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "kernels")
ACT = {
    "none": lambda x: x,
    "silu": F.silu,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu": F.gelu,
}
# rows, in, in2, out, act, bias, residual
LINEAR = [
    (1, 1, 0, 1, "none", True, False),
    (3, 5, 0, 7, "silu", True, False),
    (5, 63, 0, 65, "quick_gelu", True, True),
    (2, 17, 0, 3, "gelu", False, False),
    (4, 8, 5, 6, "none", True, True),
    (3, 9, 4, 5, "silu", False, True),
    (6, 12, 0, 9, "geglu", True, False),
    (1, 31, 0, 2, "geglu", False, False),
]
# n, h, w, in, out, kh, kw, stride, (top, left, bottom, right), upsampled to, bias, add, residual
CONV = [
    (1, 5, 4, 3, 2, 3, 3, 1, (1, 1, 1, 1), None, True, None, False),
    (2, 6, 5, 4, 3, 3, 3, 2, (1, 1, 1, 1), None, True, "image", False),
    (1, 4, 4, 2, 5, 1, 1, 1, (0, 0, 0, 0), None, False, None, False),
    (1, 6, 7, 2, 3, 3, 3, 2, (0, 0, 1, 1), None, True, None, False),
    (2, 3, 4, 2, 3, 3, 3, 1, (1, 1, 1, 1), (6, 8), True, "shared", False),
    (1, 3, 3, 2, 2, 3, 3, 1, (1, 1, 1, 1), (5, 5), True, None, True),
    (1, 4, 3, 5, 4, 3, 3, 1, (1, 1, 1, 1), None, False, "image", True),
    (2, 5, 6, 2, 3, 3, 1, 1, (1, 0, 1, 0), None, True, "shared", True),
]


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64).float().double()  # what the file holds, exactly


def linear(rows, width, width2, out, act, bias, residual):
    outs = out * 2 if act == "geglu" else out
    x, x2 = normal(rows, width), normal(rows, width2) if width2 else None
    w, b = normal(outs, width + width2), normal(outs) if bias else None
    r = normal(rows, out) if residual else None
    y = F.linear(x if x2 is None else torch.cat([x, x2], 1), w, b)
    if act == "geglu":
        value, gate = y.chunk(2, 1)
        y = value * F.gelu(gate)
    else:
        y = ACT[act](y)
    return [x, x2, w, b, r, y if r is None else y + r]


def conv(n, h, width, cin, out, kh, kw, stride, pad, up, bias, add, residual):
    top, left, bottom, right = pad
    x, w, b = normal(n, h, width, cin), normal(out, cin, kh, kw), normal(out) if bias else None
    u = x.permute(0, 3, 1, 2)
    if up:
        u = F.interpolate(u, scale_factor=2, mode="nearest")[:, :, : up[0], : up[1]]
    y = F.conv2d(F.pad(u, (left, right, top, bottom)), w, b, stride)
    a = normal(n if add == "image" else 1, out) if add else None
    if add:
        y = y + a[:, :, None, None]
    y = y.permute(0, 2, 3, 1)
    r = normal(*y.shape) if residual else None
    return [x, w, b, a, r, y if r is None else y + r]


def save(name, cases):
    flat = [t.float().contiguous().numpy().ravel() for case in cases for t in case if t is not None]
    np.save(os.path.join(OUT, name), np.concatenate(flat).astype("<f4"))


if __name__ == "__main__":
    torch.manual_seed(5)
    os.makedirs(OUT, exist_ok=True)
    save("linear.npy", [linear(*row) for row in LINEAR])
    save("conv.npy", [conv(*row) for row in CONV])
