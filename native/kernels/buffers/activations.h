// A step's working buffers on the GPU.
#pragma once

#include "kernels/buffers/gpu_weights.h"
#include "kernels/buffers/kernel_set.h"
#include "plan/plan.h"

namespace kexa {

// Rows are padded to whole chunks of eight: kernels read whole chunks, and what they read of the padding is zero.
// `hidden` and `logits` are those of the model's end, and made where that is (ModelDescription::has_end).
// Those named E hold elements of the kernels' element type, the others f32.
struct Activations {
  Activations(const KernelSet& kernels, const ModelDescription& description, const Plan& plan);

  Buffer step;            // the step state (plan/gpu_plan.h)
  Buffer pages;           // [kSlots, pages of a slot]: the global layers' page tables
  Buffer rope;            // rope_table() of the context: written once
  Buffer residual;        // [rows, hidden]
  Buffer branch;          // [rows, hidden]: on post-norm models, what a branch adds
  Buffer hidden;          // [rows, hidden]: after the final norm
  Buffer pair;            // [rows, 2 * hidden]: the MTP block's
  Buffer next_embedding;  // [rows, hidden]: the MTP block's
  Buffer qkv;             // E [rows, q, k, v]
  Buffer attended;        // E [rows, q]
  Buffer partial;         // what attention hands to attention_reduce: as many rows and parts as any layer needs
  Buffer inner;           // E [rows, each chosen expert's width, the shared one's]
  Buffer experts;         // [rows, top_k] u32
  Buffer expert_weights;  // [rows, top_k]
  Buffer logits;          // [rows, vocab]
  Buffer scored;          // [rows, experts + 1] u32: route's, zero between its dispatches
  // Where routed experts have slots:
  Buffer slots;         // [rows, top_k] u32: the slot of each choice, or what ExpertSlots writes for one without
  Buffer handover;      // what the processor is given to compute: experts, their weights, the residual
  Buffer host_outputs;  // [rows, hidden]: what it computed
  // Those of large steps:
  Buffer row_scales;      // [rows]: multiply_matrices'
  Buffer choices;         // [rows * top_k] u32: the rows' choices of experts, sorted by expert
  Buffer tiles;           // the tiles of rows that group_rows cut them into
  Buffer expert_outputs;  // [rows, top_k, slice]: what swiglu_sum sums
};

}  // namespace kexa
