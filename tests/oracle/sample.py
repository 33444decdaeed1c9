#!/usr/bin/env python3
"""Golden data of engine/sample: torch's noise and diffusers' schedulers.

Made with torch 2.15.0 (CPU), diffusers 0.42.1, numpy 2. Writes tests/golden/sample/:
  noise.npy          f4, the draws of NOISE one after another (rows of different lengths, joined)
  schedules.npy      f4, for each row of ROWS: timesteps (steps), then sigmas (steps + 1)
  trajectories.npy   f4, for each row: the latent (1, 4, 8, 8) before the first and after each step
  rows.txt           what each row is: sampler schedule steps prediction, and the class with its settings
The network is a fake, the same in C: tanh(0.3 x + 0.1 sin t) in fp32.
"""
import os

import diffusers
import numpy as np
import torch

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "sample")
NOISE = [(0, [16384]), (42, [1, 5, 15, 16, 17, 31, 100]), (1 << 31, [4096, 7, 4096]), ((1 << 32) + 7, [4096]),
         (123456789, [3, 3, 64, 2, 2])]
SD1 = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
CLASSES = {
    "ddim": (diffusers.DDIMScheduler, dict(set_alpha_to_one=False, clip_sample=False)),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_a": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {}),
}


def rows():
    for sampler in CLASSES:
        for spacing in ("leading", "trailing", "karras"):
            if (sampler, spacing) == ("ddim", "karras"):
                continue
            for steps in (1, 2, 5, 20):
                yield sampler, spacing, steps, "epsilon"
            yield sampler, spacing, 5, "v_prediction"


def make(sampler, spacing, steps, prediction):
    cls, extra = CLASSES[sampler]
    settings = dict(SD1, prediction_type=prediction, **extra)
    settings["timestep_spacing"] = "trailing" if spacing == "trailing" else "leading"
    if spacing == "karras" and sampler != "euler_a":
        settings["use_karras_sigmas"] = True
    scheduler = cls(**settings)
    scheduler.set_timesteps(steps)
    if spacing == "karras" and sampler == "euler_a":  # the class lacks it: the levels of Euler's
        other = diffusers.EulerDiscreteScheduler(**settings, use_karras_sigmas=True)
        other.set_timesteps(steps)
        scheduler.sigmas, scheduler.timesteps = other.sigmas, other.timesteps
    return scheduler, f"{cls.__name__} {settings}"


def main():
    os.makedirs(OUT, exist_ok=True)
    noise = []
    for seed, sizes in NOISE:
        generator = torch.Generator("cpu").manual_seed(seed)
        noise += [torch.randn(n, generator=generator).numpy() for n in sizes]
    np.save(OUT + "/noise.npy", np.concatenate(noise).astype("f4"))
    schedules, trajectories, lines = [], [], []
    for row in rows():
        scheduler, settings = make(*row)
        sigmas = getattr(scheduler, "sigmas", None)
        if sigmas is None:  # DDIM: from its table
            ab = scheduler.alphas_cumprod[scheduler.timesteps].double()
            sigmas = torch.cat([((1 - ab) / ab).sqrt(), torch.zeros(1)])
        schedules += [scheduler.timesteps.double().numpy(), sigmas.double().numpy()]
        generator = torch.Generator("cpu").manual_seed(7)
        x = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
        trajectories.append(x.numpy().ravel().copy())
        for t in scheduler.timesteps:
            model_in = scheduler.scale_model_input(x, t)
            out = torch.tanh(0.3 * model_in + 0.1 * torch.sin(torch.tensor(float(t), dtype=torch.float32)))
            kw = dict(generator=generator) if row[0] == "euler_a" else {}
            x = scheduler.step(out, t, x, **kw).prev_sample
            trajectories.append(x.float().numpy().ravel().copy())
        lines.append(f"{row[0]} {row[1]} {row[2]} {row[3]} {settings}")
    np.save(OUT + "/schedules.npy", np.concatenate(schedules).astype("f4"))
    np.save(OUT + "/trajectories.npy", np.concatenate(trajectories).astype("f4"))
    with open(OUT + "/rows.txt", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
