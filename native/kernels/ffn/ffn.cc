#include "kernels/ffn/ffn.h"

#include <algorithm>
#include <utility>

#include "kernels/matmul/matmul.h"
#include "kernels/source/dots_layout.h"
#include "kernels/source/weight_units.h"

namespace kexa {
namespace {

// Outputs of gate and up that a team owns in whole numbers.
constexpr int kTeamInputs = 2;

// Declares sum_SIDE(), by which swiglu_input reads a buffer of gate and up, in parts. It is one pass over the rows if
// gate and up have the same type, and else two.
void sum_inputs(Prelude& prelude, const std::string& side, const std::string& buffer, const InputTypes& types,
                int columns, int parts) {
  // Emits WGSL that sums a tile's rows `first`, `first + step`, ... Gate and up rows alternate, so step 2 takes only
  // one of them. All loads come before the first use, outside any branch, so that the GPU can keep all of them in
  // flight.
  const auto sum_rows = [&](const std::string& name, Type type, int first, int step) {
    const std::string upper = in_capitals(name), array = "array<" + name + "_Unit, " + upper + "_ROWS>";
    prelude.weights(name + "_", type)
        .reads(name, type, columns, parts, name + "_", buffer)
        .set(upper + "_FIRST", first)
        .set(upper + "_STEP", step)
        .set(upper + "_ROWS", kTileOutputs * 2 / step)
        .over_parts(name, parts,
                    "load_" + name + "(part: u32, at: ptr<function, array<u32, PRODUCTS>>, unit: u32,\n" +
                        "units: ptr<function, " + array + ">)",
                    "for (var i = 0u; i < " + upper + "_ROWS; i++) { (*units)[i] = BUFFER_unit((*at)[" + upper +
                        "_FIRST + i * " + upper + "_STEP], unit); }")
        .include("swiglu_input_sums", name);
  };
  if (types.are_alike()) return sum_rows(side, types.gate, 0, 1);
  sum_rows(side + "_gate", types.gate, 0, 2);
  sum_rows(side + "_up", types.up, 1, 2);
  constexpr std::string_view both = R"(fn sum_@SIDE(thread: u32, row: u32, part: u32,
         weight_at: ptr<function, array<u32, PRODUCTS>>, sums: ptr<function, array<f32, SUMS>>) {
  sum_@SIDE_gate(thread, row, part, weight_at, sums);
  sum_@SIDE_up(thread, row, part, weight_at, sums);
}
)";
  prelude.declare(replaced(both, {{"@SIDE", side}}));
}

// The buffer, or the empty one where the layer has none.
Binding read_if_any(const FfnSources& from, const Buffer& buffer) {
  return read(buffer.bytes ? buffer : from.kernels.empty_buffer());
}

// The first part of the experts' matrices, or the empty buffer where the GPU has no expert.
Binding read_first_part(const FfnSources& from, const GpuExperts& experts) {
  return read(from.placed ? experts.parts[0] : from.kernels.empty_buffer());
}

// The gain of the norm before a branch; the empty buffer on post-norm models.
const Buffer& gain(const FfnSources& from) {
  return from.is_post_norm ? from.kernels.empty_buffer() : from.weights.ffn_norm;
}

std::string op_of(const FfnSources& from) { return from.is_moe ? "experts" : "dense_ffn"; }

BoundKernel make_route(const FfnSources& from) {
  const Activations& activations = from.activations;
  Prelude prelude = from.prelude_of_route("route");
  prelude.set("HAS_LOGITS", false);
  return from.kernels.make_rows_first(
      "route", prelude,
      {read(from.weights.router.buffer), read(from.weights.router_bias), read(activations.residual), read(gain(from)),
       write(activations.scored), write(activations.experts), write(activations.expert_weights)},
      ceil_div(from.experts, kTileOutputs));
}

// Gate, up and SwiGLU of the chosen experts and of the shared one.
BoundKernel make_input(const FfnSources& from) {
  const GpuLayer& weights = from.weights;
  const Activations& activations = from.activations;
  const int hidden = from.hidden;
  // If the layer has only one of the two, the kernel never reads the other, so any type will do.
  const InputTypes& routed = from.placed ? weights.routed_types : weights.shared_types;
  const InputTypes& shared = from.has_shared() ? weights.shared_types : weights.routed_types;
  int most_units = 0;
  for (Type type : {routed.gate, routed.up, shared.gate, shared.up})
    most_units = std::max(most_units, weight_units(type, hidden).count);
  const int parts = weights.routed_input.part_count();
  Prelude prelude = from.prelude_of_input(most_units, op_of(from));
  set_slots(prelude, from.has_slots)
      .set("TOP_K", from.top_k)
      .set("ROUTED_GATE_ROW_WORDS", gpu_row_words(routed.gate, hidden))
      .set("ROUTED_UP_ROW_WORDS", gpu_row_words(routed.up, hidden))
      .set("SHARED_GATE_ROW_WORDS", gpu_row_words(shared.gate, hidden))
      .set("SHARED_UP_ROW_WORDS", gpu_row_words(shared.up, hidden))
      .set("INNER_STRIDE", from.inner_stride)
      .set("WIDTH", from.width)
      .set("WIDTH_STRIDE", padded(from.width))
      .set("SHARED_WIDTH", from.shared_width)
      .set("SWIGLU_LIMIT", from.swiglu_limit)
      .set("TILE_OUTPUTS", kTileOutputs)
      .include("swiglu")
      .split("routed", parts, weights.routed_input.experts_per_part, 6);
  sum_inputs(prelude, "routed", "routed", routed, hidden, parts);
  sum_inputs(prelude, "shared", "shared_weight", shared, hidden, 1);
  return from.kernels.make_rows_first(
      "swiglu_input", prelude,
      weights.routed_input.with_parts({read_first_part(from, weights.routed_input),
                                       read_if_any(from, weights.shared_input), read(activations.residual),
                                       read(gain(from)), read(from.chosen()), write(activations.inner)}),
      from.top_k * ceil_div(from.width, kTileOutputs) + ceil_div(from.shared_width, kTileOutputs));
}

// Down of the same experts, weighted and summed. A post-norm model normalises the branch before it is added, so the
// branch has a buffer of its own.
BoundKernel make_output(const FfnSources& from) {
  const GpuLayer& weights = from.weights;
  const Activations& activations = from.activations;
  const int width = from.width, shared_width = from.shared_width, parts = weights.routed_output.part_count();
  const Type routed = from.placed ? weights.routed_output_type : weights.shared_output.type;
  const Type shared = from.has_shared() ? weights.shared_output.type : routed;
  Prelude prelude = from.kernels.prelude_of_sums(
      from.top_k * weight_units(routed, width).count + weight_units(shared, shared_width).count, op_of(from));
  set_slots(prelude, from.has_slots)
      .weights("routed_", routed)
      .weights("shared_weight_", shared)
      .reads("routed", routed, width, parts, "routed_")
      .reads("shared_weight", shared, shared_width, 1, "shared_weight_")
      .set("ROUTED_ROW_WORDS", gpu_row_words(routed, width))
      .set("SHARED_ROW_WORDS", gpu_row_words(shared, shared_width))
      .set("TOP_K", from.top_k)
      .set("INNER_STRIDE", from.inner_stride)
      .set("OUTPUTS", from.hidden)
      .set("Y_STRIDE", from.stride)
      .set("ADDS", !from.is_post_norm)
      .set("WIDTH_CHUNKS", padded(width) / 8)
      .set("TILE_OUTPUTS", kTileOutputs)
      .split("routed", parts, weights.routed_output.experts_per_part, 6)
      .over_parts("routed", parts,
                  "load_routed(part: u32, row_at: ptr<function, array<u32, LOADED_ROWS>>, first: u32, unit: u32,\n"
                  "               units: ptr<function, array<routed_Unit, LOADED_ROWS>>)",
                  "for (var i = 0u; i < LOADED_ROWS; i++) { (*units)[i] = BUFFER_unit((*row_at)[i] + first, unit); }");
  return from.kernels.make_rows_first(
      "swiglu_output", prelude,
      weights.routed_output.with_parts({read_first_part(from, weights.routed_output),
                                        read_if_any(from, weights.shared_output.buffer), read(activations.inner),
                                        read(from.chosen()), read(activations.expert_weights),
                                        write(from.is_post_norm ? activations.branch : activations.residual)}),
      ceil_div(from.hidden, kTileOutputs));
}

// The types of the routed experts' matrices and of the shared one's. If the layer has only one of the two, the kernels
// never read the other, so any type will do.
struct FfnTypes {
  explicit FfnTypes(const FfnSources& from)
      : routed(from.placed ? from.weights.routed_types : from.weights.shared_types),
        shared(from.has_shared() ? from.weights.shared_types : from.weights.routed_types),
        routed_output(from.placed ? from.weights.routed_output_type : from.weights.shared_output.type),
        shared_output(from.has_shared() ? from.weights.shared_output.type : routed_output) {}

  bool take_dots() const {
    for (Type type : {routed.gate, routed.up, shared.gate, shared.up, routed_output, shared_output})
      if (!takes_dots(type)) return false;
    return routed.are_alike() && shared.are_alike();
  }

  InputTypes routed, shared;
  Type routed_output, shared_output;
};

// make_input() and make_output() in whole numbers.
BoundKernel make_input_dots(const FfnSources& from) {
  const GpuLayer& weights = from.weights;
  const Activations& activations = from.activations;
  const FfnTypes types(from);
  const int parts = weights.routed_input.part_count(), group = from.kernels.teams() * kTeamInputs;
  Prelude prelude = from.kernels.prelude_of_teams(op_of(from));
  set_slots(prelude, from.has_slots)
      .set("TILE_ROWS", 1)
      .set("INPUT_BLOCKS", from.hidden / 32)
      .set("TOP_K", from.top_k)
      .set("ROUTED_ROW_WORDS", gpu_row_words(types.routed.gate, from.hidden))
      .set("SHARED_ROW_WORDS", gpu_row_words(types.shared.gate, from.hidden))
      .set("INNER_STRIDE", from.inner_stride)
      .set("WIDTH", from.width)
      .set("WIDTH_STRIDE", padded(from.width))
      .set("SHARED_WIDTH", from.shared_width)
      .set("SWIGLU_LIMIT", from.swiglu_limit)
      .include("swiglu")
      .split("routed", parts, weights.routed_input.experts_per_part, 6)
      .sums_blocks("routed", types.routed.gate, from.hidden, parts)
      .sums_blocks("shared_weight", types.shared.gate, from.hidden)
      .prepares_dots({types.routed.gate, types.shared.gate});
  return from.kernels.make_rows_first(
      "swiglu_input_dots", prelude,
      weights.routed_input.with_parts({read_first_part(from, weights.routed_input),
                                       read_if_any(from, weights.shared_input), read(activations.planes),
                                       read(activations.plane_scales), read(from.chosen()), write(activations.inner)}),
      from.top_k * ceil_div(from.width, group) + ceil_div(from.shared_width, group));
}

BoundKernel make_output_dots(const FfnSources& from) {
  const GpuLayer& weights = from.weights;
  const Activations& activations = from.activations;
  const FfnTypes types(from);
  const int parts = weights.routed_output.part_count();
  Prelude prelude = from.kernels.prelude_of_teams(op_of(from));
  set_slots(prelude, from.has_slots)
      .set("TILE_ROWS", 1)
      .set("INPUT_BLOCKS", from.inner_stride / 32)
      .set("TOP_K", from.top_k)
      .set("ROUTED_ROW_WORDS", gpu_row_words(types.routed_output, from.width))
      .set("SHARED_ROW_WORDS", gpu_row_words(types.shared_output, from.shared_width))
      .set("OUTPUTS", from.hidden)
      .set("Y_STRIDE", from.stride)
      .set("ADDS", !from.is_post_norm)
      .split("routed", parts, weights.routed_output.experts_per_part, 7)
      .reads_blocks("routed", types.routed_output, from.width, parts)
      .over_parts("routed", parts,
                  "load_chosen(part: u32, rows_at: ptr<function, array<u32, 4>>, first: u32, block: u32,\n"
                  "               blocks: ptr<function, array<routed_Block, 4>>)",
                  "for (var o = 0u; o < 4u; o++) { (*blocks)[o] = BUFFER_block((*rows_at)[o] + first, block); }")
      .sums_blocks("shared_weight", types.shared_output, from.shared_width, 1, from.shared_offset / 32)
      .prepares_dots({types.routed_output, types.shared_output});
  return from.kernels.make_rows_first(
      "swiglu_output_dots", prelude,
      weights.routed_output.with_parts(
          {read_first_part(from, weights.routed_output), read_if_any(from, weights.shared_output.buffer),
           read(activations.planes), read(activations.plane_scales), read(from.chosen()),
           read(activations.expert_weights), write(from.is_post_norm ? activations.branch : activations.residual)}),
      ceil_div(from.hidden, kTileOutputs * from.kernels.teams()));
}

}  // namespace

Ffn::Ffn(const FfnSources& from) {
  if (from.is_moe) route_ = make_route(from);
  if (from.kernels.choice().has_dots && FfnTypes(from).take_dots()) {
    round_input_ = make_round_rows(from.kernels, from.activations,
                                   {.x = from.activations.residual,
                                    .stride = from.stride,
                                    .columns = from.hidden,
                                    .gain = from.is_post_norm ? nullptr : &from.weights.ffn_norm,
                                    .epsilon = from.description.norm_epsilon,
                                    .op = op_of(from)});
    input_ = make_input_dots(from);
    round_inner_ = make_round_rows(from.kernels, from.activations,
                                   {.x = from.activations.inner,
                                    .stride = from.inner_stride,
                                    .is_element = true,
                                    .columns = from.inner_stride,
                                    .op = op_of(from)});
    output_ = make_output_dots(from);
  } else {
    input_ = make_input(from);
    output_ = make_output(from);
  }
  if (from.is_post_norm)
    norm_ = make_rms_norm(from.kernels, {.gain = from.weights.ffn_norm,
                                         .x = from.activations.branch,
                                         .y = from.activations.residual,
                                         .size = from.hidden,
                                         .epsilon = from.description.norm_epsilon,
                                         .adds = true});
  for_many_rows_ = FfnTiled(from);
}

void Ffn::run_route(const KernelSet& kernels, const StepRows& rows) const {
  if (rows.is_large)
    for_many_rows_.run_route(kernels, rows.count);
  else
    kernels.run(route_, rows.count);
}

void Ffn::run_wave(const KernelSet& kernels, const StepRows& rows, bool is_last) const {
  if (rows.is_large) {
    for_many_rows_.run_wave(kernels, rows.count, is_last);
  } else {
    if (round_input_) kernels.run(round_input_, rows.count);
    kernels.run(input_, rows.count);
    if (round_inner_) kernels.run(round_inner_, rows.count);
    kernels.run(output_, rows.count);
  }
}

void Ffn::finish(const KernelSet& kernels, const StepRows& rows) const {
  if (norm_) kernels.run(norm_, rows.count);
}

}  // namespace kexa
