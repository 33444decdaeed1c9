#include "engine/model/clip_text.h"

#include "engine/model/build.h"

#include <stdio.h>

static fsd_value attention(const fsd_build *b, const fsd_clip_text_config *c, fsd_value x, int layer)
{
    fsd_graph *g = b->graph;
    const int width = c->width;
    char path[64];
    fsd_value qkv, y;

    snprintf(path, sizeof path, "encoder.layers.%d.self_attn.", layer);
    y = fsd_op_layer_norm(g, x, fsd_build_vector(b, width, "encoder.layers.%d.layer_norm1.weight", layer),
                          fsd_build_vector(b, width, "encoder.layers.%d.layer_norm1.bias", layer), c->eps);
    qkv = fsd_op_linear(
        g, y, fsd_build_stack(b, width, width, path, "q_proj.weight,k_proj.weight,v_proj.weight"),
        fsd_build_stack(b, width, 0, path, "q_proj.bias,k_proj.bias,v_proj.bias"),
        (fsd_linear_extra){0});
    y = fsd_op_attention(g, fsd_graph_slice(g, qkv, 0, width), fsd_graph_slice(g, qkv, width, width),
                         fsd_graph_slice(g, qkv, 2 * width, width), c->heads, true);
    return fsd_op_linear(g, y, fsd_build_matrix(b, width, width, "%sout_proj.weight", path),
                         fsd_build_vector(b, width, "%sout_proj.bias", path),
                         (fsd_linear_extra){.residual = x});
}

static fsd_value mlp(const fsd_build *b, const fsd_clip_text_config *c, fsd_value x, int layer)
{
    fsd_graph *g = b->graph;
    fsd_value y;

    y = fsd_op_layer_norm(
        g, x, fsd_build_vector(b, c->width, "encoder.layers.%d.layer_norm2.weight", layer),
        fsd_build_vector(b, c->width, "encoder.layers.%d.layer_norm2.bias", layer), c->eps);
    y = fsd_op_linear(g, y,
                      fsd_build_matrix(b, c->mlp, c->width, "encoder.layers.%d.mlp.fc1.weight", layer),
                      fsd_build_vector(b, c->mlp, "encoder.layers.%d.mlp.fc1.bias", layer),
                      (fsd_linear_extra){.act = c->act});
    return fsd_op_linear(
        g, y, fsd_build_matrix(b, c->width, c->mlp, "encoder.layers.%d.mlp.fc2.weight", layer),
        fsd_build_vector(b, c->width, "encoder.layers.%d.mlp.fc2.bias", layer),
        (fsd_linear_extra){.residual = x});
}

void fsd_clip_text_build(fsd_graph *graph, fsd_weights *weights, const fsd_clip_text_config *c, int n)
{
    fsd_build b = {graph, weights, "text_model."};
    fsd_value ids, x;

    if (!fsd_build_has(&b, "embeddings.token_embedding.weight"))
        b.prefix = ""; /* newer transformers leave it out */
    ids = fsd_graph_input(graph, "ids", FSD_I32, n, 1, c->tokens, 1);
    x = fsd_op_embedding(
        graph, ids, fsd_build_table(&b, 0, c->width, "embeddings.token_embedding.weight"),
        fsd_build_table(&b, c->tokens, c->width, "embeddings.position_embedding.weight"));
    for (int layer = 0; layer < c->layers; layer++) {
        x = attention(&b, c, x, layer);
        x = mlp(&b, c, x, layer);
    }
    x = fsd_op_layer_norm(graph, x, fsd_build_vector(&b, c->width, "final_layer_norm.weight"),
                          fsd_build_vector(&b, c->width, "final_layer_norm.bias"), c->eps);
    fsd_graph_output(graph, x, "states");
}
