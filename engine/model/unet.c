#include "engine/model/unet.h"

#include "engine/model/build.h"

#include <stdio.h>

enum { MAX_SKIPS = 64, PATH = 96 };

typedef struct net {
    fsd_build b;
    const fsd_unet_config *config;
    fsd_value time;    /* silu of the embedded timesteps, a row a step */
    fsd_value context; /* the prompt's states */
    fsd_value skip[MAX_SKIPS];
    int skips;
} net;

/* Time embedding: sinusoids through a two-layer perceptron. Every residual block reads its SiLU, so
 * that is what the second layer's epilogue makes. */
static void embed_time(net *u, int steps)
{
    fsd_graph *g = u->b.graph;
    const int width = u->config->width[0];
    fsd_value t;

    g->phase = FSD_PHASE_SCHEDULE;
    t = fsd_graph_input(g, "timesteps", FSD_F32, steps, 1, 1, 1);
    t = fsd_op_sinusoid(g, t, width);
    t = fsd_op_linear(g, t, fsd_build_matrix(&u->b, 4 * width, width, "time_embedding.linear_1.weight"),
                      fsd_build_vector(&u->b, 4 * width, "time_embedding.linear_1.bias"),
                      (fsd_linear_extra){.act = FSD_ACT_SILU});
    u->time =
        fsd_op_linear(g, t, fsd_build_matrix(&u->b, 4 * width, 4 * width, "time_embedding.linear_2.weight"),
                      fsd_build_vector(&u->b, 4 * width, "time_embedding.linear_2.bias"),
                      (fsd_linear_extra){.act = FSD_ACT_SILU});
    g->phase = FSD_PHASE_STEP;
}

static int64_t channels(const net *u, fsd_value x)
{
    return x && !u->b.graph->status ? fsd_graph_value(u->b.graph, x)->c : 0;
}

static fsd_value group_norm(const net *u, fsd_value x, fsd_value x2, double eps, bool silu,
                            const char *path, const char *leaf)
{
    const int64_t c = channels(u, x) + channels(u, x2);

    return fsd_op_group_norm(u->b.graph, x, x2, fsd_build_vector(&u->b, c, "%s%s.weight", path, leaf),
                             fsd_build_vector(&u->b, c, "%s%s.bias", path, leaf), u->config->groups,
                             eps, silu);
}

static fsd_value conv3x3(const net *u, fsd_value x, int out, fsd_conv_extra extra, const char *path,
                         const char *leaf)
{
    extra.top = extra.left = extra.bottom = extra.right = 1;
    return fsd_op_conv(
        u->b.graph, x,
        extra.upsample ? fsd_build_up_conv(&u->b, out, channels(u, x), "%s%s.weight", path, leaf)
                       : fsd_build_conv(&u->b, out, channels(u, x), 3, "%s%s.weight", path, leaf),
        fsd_build_vector(&u->b, out, "%s%s.bias", path, leaf), extra);
}

/* x2, if not 0, is a skip that stands behind x along the channels. */
static fsd_value resnet(const net *u, fsd_value x, fsd_value x2, int out, const char *path)
{
    fsd_graph *g = u->b.graph;
    const int64_t in = channels(u, x) + channels(u, x2);
    fsd_value time, shortcut = x, y;

    g->phase = FSD_PHASE_SCHEDULE;
    time = fsd_op_linear(
        g, u->time, fsd_build_matrix(&u->b, out, channels(u, u->time), "%stime_emb_proj.weight", path),
        fsd_build_vector(&u->b, out, "%stime_emb_proj.bias", path), (fsd_linear_extra){0});
    g->phase = FSD_PHASE_STEP;
    if (x2 || in != out) {
        fsd_weight *w = x2 ? fsd_build_split_matrix(&u->b, out, channels(u, x), channels(u, x2),
                                                    "%sconv_shortcut.weight", path)
                           : fsd_build_matrix(&u->b, out, in, "%sconv_shortcut.weight", path);

        shortcut = fsd_op_linear(g, x, w, fsd_build_vector(&u->b, out, "%sconv_shortcut.bias", path),
                                 (fsd_linear_extra){.x2 = x2});
    }
    y = group_norm(u, x, x2, u->config->eps, true, path, "norm1");
    y = conv3x3(u, y, out, (fsd_conv_extra){.add = time}, path, "conv1");
    y = group_norm(u, y, 0, u->config->eps, true, path, "norm2");
    return conv3x3(u, y, out, (fsd_conv_extra){.residual = shortcut}, path, "conv2");
}

static fsd_value layer_norm(const net *u, fsd_value x, const char *path, const char *leaf)
{
    const int64_t c = channels(u, x);

    return fsd_op_layer_norm(u->b.graph, x, fsd_build_vector(&u->b, c, "%s%s.weight", path, leaf),
                             fsd_build_vector(&u->b, c, "%s%s.bias", path, leaf), 1e-5);
}

static fsd_value attend_out(const net *u, fsd_value y, fsd_value residual, const char *path,
                            const char *leaf)
{
    const int64_t c = channels(u, y);

    return fsd_op_linear(u->b.graph, y,
                         fsd_build_matrix(&u->b, c, c, "%s%s.to_out.0.weight", path, leaf),
                         fsd_build_vector(&u->b, c, "%s%s.to_out.0.bias", path, leaf),
                         (fsd_linear_extra){.residual = residual});
}

static fsd_value self_attention(const net *u, fsd_value x, int heads, const char *path)
{
    fsd_graph *g = u->b.graph;
    const int64_t c = channels(u, x);
    char attn[PATH + 16];
    fsd_value qkv, y;

    snprintf(attn, sizeof attn, "%sattn1.", path);
    qkv = fsd_op_linear(g, layer_norm(u, x, path, "norm1"),
                        fsd_build_stack(&u->b, c, c, attn, "to_q.weight,to_k.weight,to_v.weight"),
                        NULL, (fsd_linear_extra){0});
    y = fsd_op_attention(g, fsd_graph_slice(g, qkv, 0, c), fsd_graph_slice(g, qkv, c, c),
                         fsd_graph_slice(g, qkv, 2 * c, c), heads, false);
    return attend_out(u, y, x, path, "attn1");
}

/* The keys and values hang on the prompt alone, so they are made once for all steps. */
static fsd_value cross_attention(const net *u, fsd_value x, int heads, const char *path)
{
    fsd_graph *g = u->b.graph;
    const int64_t c = channels(u, x);
    char attn[PATH + 16];
    fsd_value kv, q, y;

    snprintf(attn, sizeof attn, "%sattn2.", path);
    g->phase = FSD_PHASE_CONDITION;
    kv = fsd_op_linear(g, u->context,
                       fsd_build_stack(&u->b, c, u->config->context, attn, "to_k.weight,to_v.weight"),
                       NULL, (fsd_linear_extra){0});
    g->phase = FSD_PHASE_STEP;
    q = fsd_op_linear(g, layer_norm(u, x, path, "norm2"),
                      fsd_build_matrix(&u->b, c, c, "%sto_q.weight", attn), NULL,
                      (fsd_linear_extra){0});
    y = fsd_op_attention(g, q, fsd_graph_slice(g, kv, 0, c), fsd_graph_slice(g, kv, c, c), heads,
                         false);
    return attend_out(u, y, x, path, "attn2");
}

static fsd_value feed_forward(const net *u, fsd_value x, const char *path)
{
    const int64_t c = channels(u, x);
    fsd_value y = fsd_op_linear(
        u->b.graph, layer_norm(u, x, path, "norm3"),
        fsd_build_geglu(&u->b, 4 * c, c, "%sff.net.0.proj.weight", path),
        fsd_build_vector(&u->b, 8 * c, "%sff.net.0.proj.bias", path),
        (fsd_linear_extra){.act = FSD_ACT_GEGLU});

    return fsd_op_linear(u->b.graph, y, fsd_build_matrix(&u->b, c, 4 * c, "%sff.net.2.weight", path),
                         fsd_build_vector(&u->b, c, "%sff.net.2.bias", path),
                         (fsd_linear_extra){.residual = x});
}

/* SpatialTransformer with one block: pixels are tokens. */
static fsd_value transformer(const net *u, fsd_value x, int heads, const char *path)
{
    const int64_t c = channels(u, x);
    char block[PATH + 32];
    fsd_value y = group_norm(u, x, 0, 1e-6, false, path, "norm");

    snprintf(block, sizeof block, "%stransformer_blocks.0.", path);
    y = fsd_op_linear(u->b.graph, y, fsd_build_matrix(&u->b, c, c, "%sproj_in.weight", path),
                      fsd_build_vector(&u->b, c, "%sproj_in.bias", path), (fsd_linear_extra){0});
    y = self_attention(u, y, heads, block);
    y = cross_attention(u, y, heads, block);
    y = feed_forward(u, y, block);
    return fsd_op_linear(u->b.graph, y, fsd_build_matrix(&u->b, c, c, "%sproj_out.weight", path),
                         fsd_build_vector(&u->b, c, "%sproj_out.bias", path),
                         (fsd_linear_extra){.residual = x});
}

/* fsd_unet_build has made sure that there is room. */
static void push(net *u, fsd_value x)
{
    u->skip[u->skips++] = x;
}

static fsd_value down(net *u, fsd_value x)
{
    const fsd_unet_config *c = u->config;
    char path[PATH];

    for (int i = 0; i < c->levels; i++) {
        for (int j = 0; j < c->layers; j++) {
            snprintf(path, sizeof path, "down_blocks.%d.resnets.%d.", i, j);
            x = resnet(u, x, 0, c->width[i], path);
            snprintf(path, sizeof path, "down_blocks.%d.attentions.%d.", i, j);
            if (c->down_attends[i])
                x = transformer(u, x, c->heads[i], path);
            push(u, x);
        }
        if (i == c->levels - 1)
            break;
        snprintf(path, sizeof path, "down_blocks.%d.downsamplers.0.", i);
        x = conv3x3(u, x, c->width[i], (fsd_conv_extra){.stride = 2}, path, "conv");
        push(u, x);
    }
    return x;
}

static fsd_value middle(net *u, fsd_value x)
{
    const int last = u->config->levels - 1;

    x = resnet(u, x, 0, u->config->width[last], "mid_block.resnets.0.");
    x = transformer(u, x, u->config->heads[last], "mid_block.attentions.0.");
    return resnet(u, x, 0, u->config->width[last], "mid_block.resnets.1.");
}

/* To twice the size, or where the skip is of odd size to just that. */
static fsd_value upsample(const net *u, fsd_value x, int width, const char *path)
{
    const fsd_value skip = u->skip[u->skips - 1];
    const fsd_graph *g = u->b.graph;
    const bool twice = !g->status && fsd_graph_value(g, skip)->h == 2 * fsd_graph_value(g, x)->h &&
                       fsd_graph_value(g, skip)->w == 2 * fsd_graph_value(g, x)->w;
    const fsd_conv_extra exact = {.upsample = true}, like = {.up_like = skip};

    return conv3x3(u, x, width, twice ? exact : like, path, "conv");
}

static fsd_value up(net *u, fsd_value x)
{
    const fsd_unet_config *c = u->config;
    char path[PATH];

    for (int i = 0; i < c->levels; i++) {
        const int level = c->levels - 1 - i;

        for (int j = 0; j <= c->layers; j++) {
            snprintf(path, sizeof path, "up_blocks.%d.resnets.%d.", i, j);
            x = resnet(u, x, u->skip[--u->skips], c->width[level], path);
            snprintf(path, sizeof path, "up_blocks.%d.attentions.%d.", i, j);
            if (c->up_attends[i])
                x = transformer(u, x, c->heads[level], path);
        }
        if (level == 0)
            break;
        snprintf(path, sizeof path, "up_blocks.%d.upsamplers.0.", i);
        x = upsample(u, x, c->width[level], path);
    }
    return x;
}

void fsd_unet_build(fsd_graph *graph, fsd_weights *weights, const fsd_unet_config *c, int n,
                    int repeat, int h, int w, int tokens, int steps)
{
    net u = {.b = {graph, weights, ""}, .config = c};
    fsd_value x;

    if ((c->layers + 1) * c->levels > MAX_SKIPS) {
        fsd_graph_fail(graph, FSD_UNSUPPORTED, "a UNet with more than %d skips", MAX_SKIPS);
        return;
    }
    graph->steps = steps;
    embed_time(&u, steps);
    u.context = fsd_graph_input(graph, "context", graph->activations, n, 1, tokens, c->context);
    x = fsd_graph_input(graph, "latents", FSD_F32, n / repeat, h, w, c->in_channels);
    x = fsd_op_to_channels_last(graph, x, repeat);
    x = conv3x3(&u, x, c->width[0], (fsd_conv_extra){0}, "", "conv_in");
    push(&u, x);
    x = down(&u, x);
    x = middle(&u, x);
    x = up(&u, x);
    x = group_norm(&u, x, 0, c->eps, true, "", "conv_norm_out");
    x = conv3x3(&u, x, c->out_channels, (fsd_conv_extra){0}, "", "conv_out");
    fsd_graph_output(graph, fsd_op_to_channels_first(graph, x), "prediction");
}
