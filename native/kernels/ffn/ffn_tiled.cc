#include "kernels/ffn/ffn_tiled.h"

#include <algorithm>

#include "kernels/matmul/matmul.h"

namespace kexa {
namespace {

constexpr uint32_t kGroupThreads = 128;

}  // namespace

Prelude& set_slots(Prelude& prelude, bool has_slots) {
  const auto test = [&](const char* name, uint32_t value) {
    prelude.declare("fn " + std::string(name) + "(expert: u32) -> bool { return " +
                    (has_slots ? "expert == " + std::to_string(value) + "u" : "false") + "; }\n");
  };
  test("is_on_host", ExpertSlots::kOnHost);
  test("is_in_other_wave", ExpertSlots::kOtherWave);
  return prelude;
}

FfnTiled::FfnTiled(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int index,
                   const GpuWeights& gpu_weights, const Activations& activations, const Prelude& route) {
  const LayerDescription& layer = description.layer(index);
  const GpuLayer& weights = gpu_weights.layers[index];
  const Buffer& empty_buffer = gpu_weights.empty_buffer;
  const int hidden = description.hidden_size, stride = padded(hidden);
  const bool is_post_norm = description.is_post_norm();
  is_moe_ = layer.is_moe();
  const bool has_slots = plan.options.has_expert_slots();
  const int experts = is_moe_ ? description.moe->experts : 0;
  experts_ = is_moe_ && has_slots ? plan.options.expert_slots : experts;
  top_k_ = experts_ ? description.moe->top_k : 0;
  const int width = is_moe_ ? layer.ffn_width : 0;
  const int shared_width = is_moe_ ? description.moe->shared_experts * layer.ffn_width : layer.ffn_width;
  const int inner_stride = top_k_ * padded(width) + padded(shared_width);
  const int shared_tile = tile_rows(kernels.max_rows());

  // Normalises x once; otherwise every tile would normalise the same rows again. `branch` is free on pre-norm models.
  TileRows x{.buffer = &activations.residual, .stride = stride, .columns = hidden};
  if (!is_post_norm) {
    norm_ = make_rms_norm(kernels, weights.ffn_norm, activations.residual, activations.branch, hidden,
                          description.norm_epsilon, stride, 0, false);
    x.buffer = &activations.branch;
  }
  const Buffer& y = is_post_norm ? activations.branch : activations.residual;

  const auto make_input = [&](bool is_routed, int outputs, int tile) {
    const GpuExperts& routed = weights.routed_input;
    const InputTypes& types = is_routed ? weights.routed_types : weights.shared_types;
    const int parts = is_routed ? routed.part_count() : 1;
    Prelude prelude = tile_prelude(kernels, x, tile);
    read_tile(prelude, types, hidden, parts);
    prelude.set("IS_ROUTED", is_routed)
        .set("GATE_ROW_WORDS", gpu_row_words(types.gate, hidden))
        .set("UP_ROW_WORDS", gpu_row_words(types.up, hidden))
        .set("WIDTH", outputs)
        .set("CHOICES", is_routed ? top_k_ : 1)
        .set("WIDTH_STRIDE", padded(width))
        .set("INNER_STRIDE", inner_stride)
        .set("INNER_OFFSET", is_routed ? 0 : top_k_ * padded(width))
        .set("SWIGLU_LIMIT", layer.swiglu_limit)
        .include("swiglu")
        .split("weight", parts, routed.experts_per_part, 7);
    const std::vector<Binding> bindings = {read(is_routed ? routed.parts[0] : weights.shared_input),
                                           read(*x.buffer),
                                           read(empty_buffer),
                                           read(activations.step),
                                           read(is_routed ? activations.tiles : empty_buffer),
                                           read(is_routed ? activations.choices : empty_buffer),
                                           write(activations.inner)};
    return kernels.make_rows_first("swiglu_input_tiled", prelude, is_routed ? routed.with_parts(bindings) : bindings,
                                   ceil_div(outputs, kTileColumns / 2), is_routed ? 1 : tile);
  };
  const bool has_shared = weights.shared_input.bytes > 0;
  if (has_shared) {
    shared_input_ = make_input(false, shared_width, shared_tile);
    const TileRows inner{.buffer = &activations.inner,
                         .stride = inner_stride,
                         .is_element = true,
                         .columns = shared_width,
                         .offset = top_k_ * padded(width)};
    shared_output_ = make_multiply_tiled(kernels, activations, weights.shared_output, inner,
                                         {.buffer = &y, .stride = stride, .adds = !is_post_norm}, empty_buffer);
  }
  if (!is_moe_) return;

  router_ = make_multiply_tiled(kernels, activations, weights.router, x,
                                {.buffer = &activations.scored, .stride = experts + 1}, empty_buffer);
  Prelude choose = route;
  choose.set("HAS_LOGITS", true);
  route_ = kernels.make_rows_first(
      "route", choose,
      {read(empty_buffer), read(weights.router_bias), read(empty_buffer), read(empty_buffer), write(activations.scored),
       write(activations.experts), write(activations.expert_weights)},
      1);
  if (!experts_) return;

  // The size of a tile follows the number of rows that an expert gets on average.
  routed_tile_ = tile_rows(int(int64_t(kernels.max_rows()) * top_k_ / experts));
  const Buffer& chosen = has_slots ? activations.slots : activations.experts;
  Prelude group = kernels.prelude();
  group.set("TOP_K", top_k_).set("EXPERTS", experts_).set("TILE_ROWS", routed_tile_).set("THREADS", kGroupThreads);
  group_ = kernels.make("group_rows", group,
                        {read(activations.step), read(chosen), write(activations.choices), write(activations.tiles)},
                        uint32_t(experts_));
  routed_input_ = make_input(true, width, routed_tile_);
  const TileRows inner{.buffer = &activations.inner,
                       .stride = inner_stride,
                       .is_element = true,
                       .columns = width,
                       .vectors = top_k_,
                       .vector_stride = padded(width)};
  const int slice_size = expert_output_slice(hidden, kernels.max_rows(), top_k_, has_slots);
  for (int first = 0; first < hidden; first += slice_size) {
    const int slice = std::min(slice_size, hidden - first);
    const int parts = weights.routed_output.part_count();
    Prelude product = tile_prelude(kernels, inner, routed_tile_);
    read_tile(product, weights.routed_output_type, width, parts);
    product.set("OUTPUTS", hidden)
        .set("FIRST_OUTPUT", first)
        .set("SLICE", slice)
        .split("weight", parts, weights.routed_output.experts_per_part, 6);
    Prelude sum = kernels.prelude();
    sum.set("TOP_K", top_k_)
        .set("FIRST_OUTPUT", first)
        .set("SLICE", slice)
        .set("Y_STRIDE", stride)
        .set("ADDS", has_shared || !is_post_norm);
    set_slots(sum, has_slots);
    routed_output_.push_back(
        {.product = kernels.make_rows_first(
             "swiglu_output_tiled", product,
             weights.routed_output.with_parts({read(weights.routed_output.parts[0]), read(activations.inner),
                                               read(empty_buffer), read(activations.tiles), read(activations.choices),
                                               write(activations.expert_outputs)}),
             ceil_div(slice, kTileColumns)),
         .sum =
             kernels.make("swiglu_sum", sum,
                          {read(activations.expert_outputs), read(activations.expert_weights), read(chosen), write(y)},
                          ceil_div(slice, 64))});
  }
}

void FfnTiled::run_route(const KernelSet& kernels, int rows) const {
  if (norm_) kernels.run(norm_, rows);
  kernels.run(router_, rows);
  kernels.run(route_, rows);
}

// The results of a wave's experts stay until the last wave sums them up.
void FfnTiled::run_wave(const KernelSet& kernels, int rows, bool is_last) const {
  if (norm_ && !is_moe_) kernels.run(norm_, rows);
  const int tiles = experts_ ? rows * top_k_ / routed_tile_ + experts_ : 0;
  if (tiles) {
    kernels.run(group_, 1);
    kernels.run(routed_input_, tiles);
  }
  if (is_last && shared_input_) {
    kernels.run(shared_input_, rows);
    kernels.run(shared_output_, rows);
  }
  for (const Slice& slice : routed_output_) {
    kernels.run(slice.product, tiles);
    if (is_last) kernels.run(slice.sum, rows);
  }
}

}  // namespace kexa
