// The sources and sizes of the kernels of a feed-forward layer.
#pragma once

#include "kernels/buffers/activations.h"

namespace kexa {

// Outputs that a workgroup of a small step's kernel computes for one row (TILE_OUTPUTS).
constexpr int kTileOutputs = 4;

// Where the kernels are compiled, what they read and write, and the sizes they are made for. For a constructor's time:
// it holds references.
struct FfnSources {
  FfnSources(KernelSet& kernels, const ModelDescription& description, const Plan& plan, int layer,
             const GpuWeights& gpu_weights, const Activations& activations);

  KernelSet& kernels;
  const ModelDescription& description;
  const GpuLayer& weights;
  const Activations& activations;

  bool is_moe;
  bool is_post_norm;
  bool has_slots;    // whether routed experts take turns in slots
  int experts;       // that the router chooses from; 0 in a dense layer
  int placed;        // routed experts, or slots for them, that the GPU has; 0 in a dense layer
  int top_k;         // experts a row chooses; 0 where the GPU has none
  int width;         // of a routed expert; 0 in a dense layer
  int shared_width;  // of the shared expert, or of the dense FFN
  int hidden;
  int stride;         // from a row of `hidden` to the next, in elements
  int shared_offset;  // where the shared expert's part of a row of Activations::inner begins
  int inner_stride;   // from such a row to the next
  float swiglu_limit;

  bool has_shared() const { return weights.shared_input.bytes > 0; }
  // The chosen experts of a row: their slots, or their ids where all have a place.
  const Buffer& chosen() const { return has_slots ? activations.slots : activations.experts; }

  // The constants of a kernel that normalises the rows it reads, each of `units` units, on models that do so before a
  // branch. `op` is the one of Device that it is part of.
  Prelude prelude_of_input(int units, std::string_view op) const;
  // The constants of route.wgsl but for HAS_LOGITS. The layer must be a MoE layer.
  Prelude prelude_of_route(std::string_view op) const;
};

// Declares is_on_host() and is_in_other_wave(), with which a kernel recognises slots that are not its to compute. With
// `has_slots` false all experts are resident, the buffer holds expert ids, and both are constant false.
Prelude& set_slots(Prelude& prelude, bool has_slots);

}  // namespace kexa
