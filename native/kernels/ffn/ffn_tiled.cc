#include "kernels/ffn/ffn_tiled.h"

#include <algorithm>

#include "kernels/matmul/matmul.h"

namespace kexa {
namespace {

constexpr uint32_t kGroupThreads = 128;

// Where the rows lie that experts read. Pre-norm models normalise them once, into `branch`, which is free there;
// otherwise every tile would normalise the same rows again.
TileRows input_rows(const FfnSources& from) {
  const Activations& activations = from.activations;
  return {.buffer = from.is_post_norm ? &activations.residual : &activations.branch,
          .stride = from.stride,
          .columns = from.hidden};
}

// Where the sum of all experts goes.
const Buffer& sum_of_experts(const FfnSources& from) {
  return from.is_post_norm ? from.activations.branch : from.activations.residual;
}

// Gate, up and SwiGLU: of the routed experts, whose rows are gathered into tiles, or of the shared one.
BoundKernel make_input(const FfnSources& from, bool is_routed, int tile) {
  const Activations& activations = from.activations;
  const Buffer& empty_buffer = from.kernels.empty_buffer();
  const GpuExperts& routed = from.weights.routed_input;
  const InputTypes& types = is_routed ? from.weights.routed_types : from.weights.shared_types;
  const int parts = is_routed ? routed.part_count() : 1;
  const int outputs = is_routed ? from.width : from.shared_width;
  const TileRows x = input_rows(from);
  Prelude prelude = tile_prelude(from.kernels, x, tile);
  read_tile(prelude, types, from.hidden, parts);
  prelude.set("IS_ROUTED", is_routed)
      .set("GATE_ROW_WORDS", gpu_row_words(types.gate, from.hidden))
      .set("UP_ROW_WORDS", gpu_row_words(types.up, from.hidden))
      .set("WIDTH", outputs)
      .set("CHOICES", is_routed ? from.top_k : 1)
      .set("WIDTH_STRIDE", padded(from.width))
      .set("INNER_STRIDE", from.inner_stride)
      .set("INNER_OFFSET", is_routed ? 0 : from.shared_offset)
      .set("SWIGLU_LIMIT", from.swiglu_limit)
      .include("swiglu")
      .split("weight", parts, routed.experts_per_part, 7);
  const std::vector<Binding> bindings = {read(is_routed ? routed.parts[0] : from.weights.shared_input),
                                         read(*x.buffer),
                                         read(empty_buffer),
                                         read(activations.step),
                                         read(is_routed ? activations.tiles : empty_buffer),
                                         read(is_routed ? activations.choices : empty_buffer),
                                         write(activations.inner)};
  return from.kernels.make_rows_first("swiglu_input_tiled", prelude, is_routed ? routed.with_parts(bindings) : bindings,
                                      ceil_div(outputs, kTileColumns / 2), is_routed ? 1 : tile);
}

// Down of the shared expert, or of the dense FFN.
BoundKernel make_shared_output(const FfnSources& from) {
  return make_multiply_tiled(from.kernels, from.activations, from.weights.shared_output,
                             {.buffer = &from.activations.inner,
                              .stride = from.inner_stride,
                              .is_element = true,
                              .columns = from.shared_width,
                              .offset = from.shared_offset},
                             {.buffer = &sum_of_experts(from), .stride = from.stride, .adds = !from.is_post_norm});
}

BoundKernel make_router(const FfnSources& from) {
  return make_multiply_tiled(from.kernels, from.activations, from.weights.router, input_rows(from),
                             {.buffer = &from.activations.scored, .stride = from.experts + 1});
}

// The choice of experts from the router's scores.
BoundKernel make_route(const FfnSources& from) {
  const Activations& activations = from.activations;
  const Buffer& empty_buffer = from.kernels.empty_buffer();
  Prelude prelude = from.prelude_of_route("route large");
  prelude.set("HAS_LOGITS", true);
  return from.kernels.make_rows_first(
      "route", prelude,
      {read(empty_buffer), read(from.weights.router_bias), read(empty_buffer), read(empty_buffer),
       write(activations.scored), write(activations.experts), write(activations.expert_weights)},
      1);
}

// Sorts the choices by expert and cuts each expert's rows into tiles.
BoundKernel make_group(const FfnSources& from, int tile) {
  const Activations& activations = from.activations;
  Prelude prelude = from.kernels.prelude();
  prelude.set("TOP_K", from.top_k).set("EXPERTS", from.placed).set("TILE_ROWS", tile).set("THREADS", kGroupThreads);
  return from.kernels.make(
      "group_rows", prelude,
      {read(activations.step), read(from.chosen()), write(activations.choices), write(activations.tiles)},
      uint32_t(from.placed));
}

// Down of the routed experts for `slice` outputs from `first` on.
BoundKernel make_slice_product(const FfnSources& from, int tile, int first, int slice) {
  const Activations& activations = from.activations;
  const GpuExperts& routed = from.weights.routed_output;
  const int parts = routed.part_count();
  Prelude prelude = tile_prelude(from.kernels,
                                 {.buffer = &activations.inner,
                                  .stride = from.inner_stride,
                                  .is_element = true,
                                  .columns = from.width,
                                  .vectors = from.top_k,
                                  .vector_stride = padded(from.width)},
                                 tile);
  read_tile(prelude, from.weights.routed_output_type, from.width, parts);
  prelude.set("OUTPUTS", from.hidden)
      .set("FIRST_OUTPUT", first)
      .set("SLICE", slice)
      .split("weight", parts, routed.experts_per_part, 6);
  return from.kernels.make_rows_first(
      "swiglu_output_tiled", prelude,
      routed.with_parts({read(routed.parts[0]), read(activations.inner), read(from.kernels.empty_buffer()),
                         read(activations.tiles), read(activations.choices), write(activations.expert_outputs)}),
      ceil_div(slice, kTileColumns));
}

// The weighted sum of a row's experts for the same outputs.
BoundKernel make_slice_sum(const FfnSources& from, int first, int slice) {
  const Activations& activations = from.activations;
  Prelude prelude = from.kernels.prelude();
  prelude.set("TOP_K", from.top_k)
      .set("FIRST_OUTPUT", first)
      .set("SLICE", slice)
      .set("Y_STRIDE", from.stride)
      .set("ADDS", from.has_shared() || !from.is_post_norm);
  set_slots(prelude, from.has_slots);
  return from.kernels.make("swiglu_sum", prelude,
                           {read(activations.expert_outputs), read(activations.expert_weights), read(from.chosen()),
                            write(sum_of_experts(from))},
                           ceil_div(slice, 64));
}

}  // namespace

FfnTiled::FfnTiled(const FfnSources& from) : is_moe_(from.is_moe), top_k_(from.top_k), placed_(from.placed) {
  if (!from.is_post_norm)
    norm_ = make_rms_norm(from.kernels, {.gain = from.weights.ffn_norm,
                                         .x = from.activations.residual,
                                         .y = from.activations.branch,
                                         .size = from.hidden,
                                         .epsilon = from.description.norm_epsilon});
  if (from.has_shared()) {
    shared_input_ = make_input(from, false, tile_rows(from.kernels.max_rows()));
    shared_output_ = make_shared_output(from);
  }
  if (!is_moe_) return;
  router_ = make_router(from);
  route_ = make_route(from);
  if (!placed_) return;
  // The size of a tile follows the number of rows that an expert gets on average.
  routed_tile_ = tile_rows(int(int64_t(from.kernels.max_rows()) * top_k_ / from.experts));
  group_ = make_group(from, routed_tile_);
  routed_input_ = make_input(from, true, routed_tile_);
  const int slice_size = expert_output_slice(from.hidden, from.kernels.max_rows(), top_k_, from.has_slots);
  for (int first = 0; first < from.hidden; first += slice_size) {
    const int slice = std::min(slice_size, from.hidden - first);
    routed_output_.push_back(
        {.product = make_slice_product(from, routed_tile_, first, slice), .sum = make_slice_sum(from, first, slice)});
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
  const int tiles = placed_ ? rows * top_k_ / routed_tile_ + placed_ : 0;
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
