#!/usr/bin/env python3
"""Golden data of engine/model: the networks of diffusers and transformers in fp32.

Made with torch 2.15.0 (CPU, fp32), diffusers 0.42.1, transformers 5.24.0. For tiny-emoji and for each miniature of KINDS it
writes tests/golden/models/<kind>/:
  text.npy     f4 (5, 77, width)      states of PROMPTS (last layer, after the final norm)
  context.npy  f4 (2, 77, width)      what the UNet was given: the states of PROMPTS[0] and [2]
  latents.npy  f4 (4, h, w)           standard normal
  unet.npy     f4 (3, 2, 4, h, w)     the prediction at timesteps 1, 481, 981, batch 2 of one latent
  vae.npy      f4 (3, H, W)           the decoder on latents / scaling_factor
and for a miniature <part>.txt (a line a tensor: name and shape) and <part>.json (its configuration): their weights are made of
a counter hash, here and in tests/harness/tiny_model.c alike, so that none need be committed.
"""
import json
import os

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
TINY = os.path.join(TOP, "packaging/models/tiny-emoji")
OUT = os.path.join(TOP, "tests/golden/models")
PROMPTS = ["", "a", "a picture of a red apple", "blue bird, yellow star (1234) 'tis",
           "red green blue yellow orange purple pink " * 20]

X, D, U = "CrossAttnDownBlock2D", "DownBlock2D", "UpBlock2D"
KINDS = {
    # SD 1.5's layer sizes: 320 and 640 wide, heads of 40, 80 and 160, 32 groups, context 768; odd sizes on the way down
    "sd15-layers": dict(
        dtype="F16", latent=(12, 10),
        text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=2, num_attention_heads=12, hidden_act="quick_gelu"),
        unet=dict(block_out_channels=(320, 640, 640), attention_head_dim=(8, 8, 4), layers_per_block=1, cross_attention_dim=768,
                  norm_num_groups=32, down_block_types=(X, X, X), up_block_types=("CrossAttnUpBlock2D",) * 3, sample_size=8),
        vae=dict(block_out_channels=(32, 32, 64, 64), layers_per_block=1, norm_num_groups=32, scaling_factor=0.18215)),
    # everything a little off: three heads, odd pixels, groups that straddle the skips, exact GELU, names of other versions
    "odd": dict(
        dtype="F32", latent=(7, 9), linear=True, bare_text=True, old_vae=True,
        text=dict(hidden_size=96, intermediate_size=200, num_hidden_layers=3, num_attention_heads=6, hidden_act="gelu"),
        unet=dict(block_out_channels=(48, 96), attention_head_dim=(3, 6), layers_per_block=2, cross_attention_dim=96,
                  norm_num_groups=16, down_block_types=(X, D), up_block_types=(U, "CrossAttnUpBlock2D"), use_linear_projection=True,
                  sample_size=8),
        vae=dict(block_out_channels=(16, 32), layers_per_block=2, norm_num_groups=8, scaling_factor=0.5)),
}


def fill(name, count):
    """tests/harness/numeric.c's check_fill with the seed FNV-1a(name)."""
    seed = 0xcbf29ce484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001b3) & (2**64 - 1)
    with np.errstate(over="ignore"):
        golden = np.uint64(0x9E3779B97F4A7C15)
        z = np.uint64(seed) * golden + np.uint64(1) + np.arange(1, count + 1, dtype=np.uint64) * golden
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) / (1 << 23) - 1).astype(np.float32)


def weight(name, shape):
    u = fill(name, int(np.prod(shape))).reshape(shape)
    if len(shape) == 1:
        return (1 + np.float32(0.1) * u if "norm" in name and name.endswith("weight") else np.float32(0.1) * u).astype("f4")
    if "embedding.weight" in name:
        return (np.float32(0.5) * u).astype("f4")
    return (u * np.float32(np.sqrt(3.0 / np.prod(shape[1:])))).astype("f4")


def old_name(name):
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        name = name.replace("mid_block.attentions.0." + new, "mid_block.attentions.0." + old)
    return name


def init(module, part, kind, out):
    lines, state = [], {}
    for name, tensor in module.state_dict().items():
        if name.endswith("position_ids"):
            continue
        file_name = name
        if part == "text_encoder":
            bare = name.removeprefix("text_model.")
            file_name = bare if kind.get("bare_text") else "text_model." + bare
        if part == "vae" and kind.get("old_vae"):
            file_name = old_name(name)
        values = weight(file_name, tuple(tensor.shape))
        if kind["dtype"] == "F16":
            values = values.astype("f2").astype("f4")
        state[name] = torch.from_numpy(values)
        lines.append(file_name + " " + " ".join(map(str, tensor.shape)))
    missing = module.load_state_dict(state, strict=False)
    assert all(k.endswith("position_ids") for k in missing.missing_keys) and not missing.unexpected_keys, missing
    with open(f"{out}/{part}.txt", "w") as file:
        file.write("\n".join(lines) + "\n")
    config = {k: v for k, v in (module.config.to_dict() if part == "text_encoder" else dict(module.config)).items()
              if not k.startswith("_") or k == "_class_name"}
    json.dump(config, open(f"{out}/{part}.json", "w"), indent=1, default=list)


def save(out, name, tensor):
    np.save(f"{out}/{name}.npy", np.ascontiguousarray(tensor.numpy().astype("f4")))


def goldens(out, tokenizer, text, unet, vae, latent):
    text, unet, vae = text.eval(), unet.eval(), vae.eval()
    ids = tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    states = text(ids)[0]
    context = states[[0, 2]]
    x = torch.randn(1, 4, *latent, generator=torch.Generator().manual_seed(3))
    save(out, "text", states)
    save(out, "latents", x[0])
    save(out, "unet", torch.stack([unet(x.repeat(2, 1, 1, 1), t, encoder_hidden_states=context).sample for t in (1, 481, 981)]))
    save(out, "vae", vae.decode(x / vae.config.scaling_factor).sample[0])


@torch.no_grad()
def main():
    tokenizer = CLIPTokenizer.from_pretrained(TINY + "/tokenizer")
    os.makedirs(OUT + "/tiny-emoji", exist_ok=True)
    f32 = dict(torch_dtype=torch.float32)
    goldens(OUT + "/tiny-emoji", tokenizer, CLIPTextModel.from_pretrained(TINY + "/text_encoder", **f32),
            UNet2DConditionModel.from_pretrained(TINY + "/unet", **f32), AutoencoderKL.from_pretrained(TINY + "/vae", **f32), (16, 16))
    for name, kind in KINDS.items():
        out = f"{OUT}/{name}"
        os.makedirs(out, exist_ok=True)
        text = CLIPTextModel(CLIPTextConfig(vocab_size=1714, max_position_embeddings=77, bos_token_id=1712, eos_token_id=1713,
                                            projection_dim=64, **kind["text"]))
        unet = UNet2DConditionModel(**kind["unet"])
        levels = len(kind["vae"]["block_out_channels"])
        vae = AutoencoderKL(latent_channels=4, down_block_types=("DownEncoderBlock2D",) * levels,
                            up_block_types=("UpDecoderBlock2D",) * levels, **kind["vae"])
        for part, module in (("text_encoder", text), ("unet", unet), ("vae", vae)):
            init(module, part, kind, out)
        goldens(out, tokenizer, text, unet, vae, kind["latent"])


if __name__ == "__main__":
    main()
