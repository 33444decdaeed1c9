#include "engine/model/vae.h"

#include "engine/model/build.h"

#include <stdio.h>

#define EPS 1e-6 /* of every norm in the VAE */

enum { PATH = 96 };

static int64_t channels(const fsd_build *b, fsd_value x)
{
    return b->graph->status ? 0 : fsd_graph_value(b->graph, x)->c;
}

static fsd_value group_norm(const fsd_build *b, int groups, fsd_value x, bool silu, const char *path,
                            const char *leaf)
{
    const int64_t c = channels(b, x);

    return fsd_op_group_norm(b->graph, x, 0, fsd_build_vector(b, c, "%s%s.weight", path, leaf),
                             fsd_build_vector(b, c, "%s%s.bias", path, leaf), groups, EPS, silu);
}

static fsd_value conv3x3(const fsd_build *b, fsd_value x, int64_t out, fsd_conv_extra extra,
                         const char *path, const char *leaf)
{
    extra.top = extra.left = extra.bottom = extra.right = 1;
    return fsd_op_conv(
        b->graph, x,
        extra.upsample ? fsd_build_up_conv(b, out, channels(b, x), "%s%s.weight", path, leaf)
                       : fsd_build_conv(b, out, channels(b, x), 3, "%s%s.weight", path, leaf),
        fsd_build_vector(b, out, "%s%s.bias", path, leaf), extra);
}

static fsd_value resnet(const fsd_build *b, int groups, fsd_value x, int64_t out, const char *path)
{
    fsd_value shortcut = x, y;

    if (channels(b, x) != out)
        shortcut = fsd_op_linear(
            b->graph, x, fsd_build_matrix(b, out, channels(b, x), "%sconv_shortcut.weight", path),
            fsd_build_vector(b, out, "%sconv_shortcut.bias", path), (fsd_linear_extra){0});
    y = group_norm(b, groups, x, true, path, "norm1");
    y = conv3x3(b, y, out, (fsd_conv_extra){0}, path, "conv1");
    y = group_norm(b, groups, y, true, path, "norm2");
    return conv3x3(b, y, out, (fsd_conv_extra){.residual = shortcut}, path, "conv2");
}

/* One head over all pixels. Older diffusers call its parts query, key, value and proj_attn. */
static fsd_value attention(const fsd_build *b, int groups, fsd_value x, const char *path)
{
    fsd_graph *g = b->graph;
    const int64_t c = channels(b, x);
    const bool old = fsd_build_has(b, "%squery.weight", path);
    const char *out = old ? "proj_attn" : "to_out.0";
    fsd_value qkv, y = group_norm(b, groups, x, false, path, "group_norm");

    qkv = fsd_op_linear(g, y,
                        fsd_build_stack(b, c, c, path,
                                        old ? "query.weight,key.weight,value.weight"
                                            : "to_q.weight,to_k.weight,to_v.weight"),
                        fsd_build_stack(b, c, 0, path,
                                        old ? "query.bias,key.bias,value.bias"
                                            : "to_q.bias,to_k.bias,to_v.bias"),
                        (fsd_linear_extra){0});
    y = fsd_op_attention(g, fsd_graph_slice(g, qkv, 0, c), fsd_graph_slice(g, qkv, c, c),
                         fsd_graph_slice(g, qkv, 2 * c, c), 1, false);
    return fsd_op_linear(g, y, fsd_build_matrix(b, c, c, "%s%s.weight", path, out),
                         fsd_build_vector(b, c, "%s%s.bias", path, out),
                         (fsd_linear_extra){.residual = x});
}

void fsd_vae_decoder_build(fsd_graph *graph, fsd_weights *weights, const fsd_vae_config *c, int n,
                           int h, int w)
{
    const fsd_build b = {graph, weights, ""};
    char path[PATH];
    fsd_value x = fsd_graph_input(graph, "latents", FSD_F32, n, h, w, c->latent_channels);

    x = fsd_op_to_channels_last(graph, x, 1);
    if (c->post_quant)
        x = fsd_op_linear(
            graph, x,
            fsd_build_matrix(&b, c->latent_channels, c->latent_channels, "post_quant_conv.weight"),
            fsd_build_vector(&b, c->latent_channels, "post_quant_conv.bias"), (fsd_linear_extra){0});
    x = conv3x3(&b, x, c->width[c->levels - 1], (fsd_conv_extra){0}, "decoder.", "conv_in");
    x = resnet(&b, c->groups, x, c->width[c->levels - 1], "decoder.mid_block.resnets.0.");
    x = attention(&b, c->groups, x, "decoder.mid_block.attentions.0.");
    x = resnet(&b, c->groups, x, c->width[c->levels - 1], "decoder.mid_block.resnets.1.");
    for (int i = 0; i < c->levels; i++) {
        const int level = c->levels - 1 - i;

        for (int j = 0; j <= c->layers; j++) {
            snprintf(path, sizeof path, "decoder.up_blocks.%d.resnets.%d.", i, j);
            x = resnet(&b, c->groups, x, c->width[level], path);
        }
        snprintf(path, sizeof path, "decoder.up_blocks.%d.upsamplers.0.", i);
        if (level > 0)
            x = conv3x3(&b, x, c->width[level], (fsd_conv_extra){.upsample = true}, path, "conv");
    }
    x = group_norm(&b, c->groups, x, true, "decoder.", "conv_norm_out");
    x = conv3x3(&b, x, 3, (fsd_conv_extra){0}, "decoder.", "conv_out");
    fsd_graph_output(graph, fsd_op_to_channels_first(graph, x), "pixels");
}
