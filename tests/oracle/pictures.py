#!/usr/bin/env python3
"""Golden pictures of tiny-emoji: diffusers' StableDiffusionPipeline in fp32, seed by torch's CPU generator.

Made with torch 2.15.0 (CPU, fp32), diffusers 0.42.1, transformers 5.24.0. Writes tests/golden/pictures/:
  <row>.npy   u1 (height, width, 3), as the pipeline rounds it
  rows.txt    a line a row: number|sampler|schedule|steps|cfg|seed|WxH|negative|prompt|class and settings
  emoji.npy   u1 (416, 16, 16, 3)  the originals of all learnt emoji, over white, averaged 8 x 8
  emoji.txt   which of them each of the 104 captions of the card's metric is: index|name
  emoji.json  the metric as diffusers reaches it with these files
usage: pictures.py [--font NotoColorEmoji.ttf --cldr annotations/en.xml]   (for the emoji files; Debian: fonts-noto-color-emoji,
unicode-cldr-core). The originals are pictures of Noto Color Emoji, SIL Open Font License 1.1: see the model's LICENSE.
"""
import argparse
import json
import os
import sys

import diffusers
import numpy as np
import torch

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MODEL = os.path.join(TOP, "packaging/models/tiny-emoji")
OUT = os.path.join(TOP, "tests/golden/pictures")
CLASSES = {"ddim": diffusers.DDIMScheduler, "euler": diffusers.EulerDiscreteScheduler,
           "euler_a": diffusers.EulerAncestralDiscreteScheduler, "dpmpp_2m": diffusers.DPMSolverMultistepScheduler}
ROWS = [("ddim", "leading", 20, 4.0, 1, (128, 128), "", "red apple"),
        ("ddim", "trailing", 10, 4.0, 2, (128, 128), "", "blue bird"),
        ("euler", "leading", 20, 4.0, 3, (128, 128), "", "a picture of a rocket on a blue background"),
        ("euler", "trailing", 20, 4.0, 4, (128, 128), "red", "guitar"),
        ("euler", "karras", 20, 4.0, 5, (128, 128), "", "cactus"),
        ("euler_a", "leading", 20, 4.0, 6, (128, 128), "", "green frog"),
        ("euler_a", "trailing", 20, 5.0, 7, (128, 128), "blue background", "lion"),
        ("dpmpp_2m", "leading", 20, 4.0, 8, (128, 128), "", "slice of pizza"),
        ("dpmpp_2m", "trailing", 12, 4.0, 9, (128, 128), "", "red car"),
        ("dpmpp_2m", "karras", 20, 3.0, 10, (128, 128), "", "cup of coffee"),
        ("ddim", "leading", 20, 1.0, 11, (128, 128), "", "yellow star"),
        ("ddim", "leading", 20, 4.0, 4294967303, (96, 160), "green", "red rose, " + "very " * 80)]


def make_pipe():
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def settings(pipe, sampler, schedule):
    extra = {"timestep_spacing": "trailing" if schedule == "trailing" else "leading"}
    if schedule == "karras":
        extra["use_karras_sigmas"] = True
    pipe.scheduler = CLASSES[sampler].from_config(pipe.base_scheduler_config, **extra)
    return f"{CLASSES[sampler].__name__} {extra}"


def draw(pipe, row):
    sampler, schedule, steps, cfg, seed, (w, h), negative, prompt = row
    said = settings(pipe, sampler, schedule)
    image = pipe(prompt, negative_prompt=negative, num_inference_steps=steps, guidance_scale=cfg, width=w, height=h,
                 generator=torch.Generator("cpu").manual_seed(seed), output_type="pil").images[0]
    return np.asarray(image.convert("RGB")), said


def emoji(pipe, font, cldr):
    sys.path.insert(0, MODEL + "/train")
    from prepare_data import bitmaps, cldr_names
    from common import render
    from emoji_set import TRAIN, RENAME, VAE_ONLY
    get, names = bitmaps(font), cldr_names(cldr)
    seen, learnt = set(), []
    for cp in TRAIN:
        if cp not in VAE_ONLY and cp not in seen:
            seen.add(cp)
            learnt.append((RENAME.get(cp) or names.get(cp, "?"), np.asarray(get(cp))))
    originals = np.stack([render(rgba) for _, rgba in learnt]).astype("f4")
    small = originals.reshape(-1, 16, 8, 16, 8, 3).mean((2, 4))
    pick = list(range(len(learnt)))[::max(1, len(learnt) // 104)][:104]
    np.save(OUT + "/emoji.npy", np.rint(small).astype("u1"))
    with open(OUT + "/emoji.txt", "w") as file:
        file.write("".join(f"{i}|{learnt[i][0]}\n" for i in pick))
    small, right = np.rint(small), 0
    settings(pipe, "ddim", "leading")
    for k, i in enumerate(pick):
        image, _ = draw(pipe, ("ddim", "leading", 20, 4.0, k, (128, 128), "", learnt[i][0]))
        mine = image.astype("f4").reshape(16, 8, 16, 8, 3).mean((1, 3))
        right += int(((small - mine) ** 2).sum((1, 2, 3)).argmin() == i)
    json.dump({"candidates": len(learnt), "captions": len(pick), "top1": right, "sampler": "DDIM leading, 20 steps, guidance 4, seed k"},
              open(OUT + "/emoji.json", "w"))
    print("emoji:", right, "of", len(pick), "candidates", len(learnt))


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--font")
    parser.add_argument("--cldr")
    args = parser.parse_args()
    os.makedirs(OUT, exist_ok=True)
    pipe = make_pipe()
    pipe.base_scheduler_config = dict(pipe.scheduler.config)
    lines = []
    for i, row in enumerate(ROWS):
        image, said = draw(pipe, row)
        np.save(f"{OUT}/{i}.npy", image)
        sampler, schedule, steps, cfg, seed, (w, h), negative, prompt = row
        lines.append(f"{i}|{sampler}|{schedule}|{steps}|{cfg}|{seed}|{w}x{h}|{negative}|{prompt}|{said}")
    open(OUT + "/rows.txt", "w").write("\n".join(lines) + "\n")
    if args.font:
        emoji(pipe, args.font, args.cldr)


if __name__ == "__main__":
    main()
