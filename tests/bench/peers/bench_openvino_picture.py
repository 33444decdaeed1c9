"""A whole picture with OpenVINO: text encoder, STEPS DDIM steps with guidance, VAE; the same nets as bench_openvino.py.
usage: bench_openvino_picture.py f32|bf16 [STEPS=20] [SIZE=512]    (after bench_openvino.py convert)"""
import os, sys, time
t0 = time.time()
import numpy as np
import openvino as ov
from common import BENCH_DIR, THREADS, emit
prec = sys.argv[1]
steps, size = int(sys.argv[2]) if len(sys.argv) > 2 else 20, int(sys.argv[3]) if len(sys.argv) > 3 else 512
core, k = ov.Core(), size // 8
cfg = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": prec, "INFERENCE_NUM_THREADS": THREADS}


def load(name, shapes):
    m = core.read_model(f"{BENCH_DIR}/ov/{name}.xml")
    m.reshape({m.inputs[i]: s for i, s in enumerate(shapes)})
    return core.compile_model(m, "CPU", cfg).create_infer_request()


text, unet, vae = load("text", [[2, 77]]), load("unet", [[2, 4, k, k], [], [2, 77, 768]]), load("vae", [[1, 4, k, k]])
t1 = time.time()
ab = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
rng = np.random.default_rng(0)
states = text.infer([rng.integers(0, 49407, (2, 77))])[0]
x = rng.standard_normal((1, 4, k, k)).astype("f4")
for t in (np.arange(steps) * (1000 // steps) + 1)[::-1]:
    out = unet.infer([np.repeat(x, 2, 0), np.array(t, dtype="int64"), states])[0]
    eps = out[:1] + 7.5 * (out[1:] - out[:1])
    a, b = ab[t], ab[max(t - 1000 // steps, 0)]
    x = (np.sqrt(b) * (x - np.sqrt(1 - a) * eps) / np.sqrt(a) + np.sqrt(1 - b) * eps).astype("f4")
vae.infer([x / 0.18215])
emit("ov_picture", precision=prec, steps=steps, size=size, start_s=round(t1 - t0, 2), picture_s=round(time.time() - t1, 2), total_s=round(time.time() - t0, 2))
