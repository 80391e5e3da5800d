// The working buffers of a step on the GPU.
#pragma once

#include "kernels/buffers/gpu_weights.h"
#include "kernels/buffers/kernel_set.h"
#include "plan/plan.h"

namespace kexa {

// Kernels read whole chunks of eight, so rows are padded to such chunks, and the padding is zero. `hidden` and `logits`
// exist only on the device with the model's end (ModelPart::has_end). Buffers marked E hold the kernels' element
// type, all others f32.
struct Activations {
  Activations(const KernelSet& kernels, const ModelDescription& description, const Plan& plan);

  Buffer step;            // the step state (gpu_plan.h)
  Buffer pages;           // [slots, pages of a slot]: the global layers' page tables
  Buffer rope;            // rope_table() of the context: written once
  Buffer residual;        // [rows, hidden]
  Buffer branch;          // [rows, hidden]: on post-norm models, the sum that a branch adds
  Buffer hidden;          // [rows, hidden]: after the final norm
  Buffer pair;            // [rows, 2 * hidden]: for the MTP block
  Buffer next_embedding;  // [rows, hidden]: for the MTP block
  Buffer qkv;             // E [rows, q, k, v]
  Buffer attended;        // E [rows, q]
  // Rows in whole numbers (round_rows), for the product that comes next; only with KernelChoice::has_dots:
  Buffer planes;          // [rows, 4, blocks of 32] x 16 bytes
  Buffer plane_scales;    // [rows, blocks of 32] x 2
  Buffer partial;         // passed from attention to attention_reduce; fits the rows and parts of any layer
  Buffer inner;           // E [rows, the width of each chosen expert, then of the shared one]
  Buffer experts;         // [rows, top_k] u32
  Buffer expert_weights;  // [rows, top_k]
  Buffer logits;          // [rows, vocab]
  Buffer scored;          // [rows, experts + 1] u32: scratch of route, zero between its dispatches
  // Only if routed experts have slots:
  Buffer slots;         // [rows, top_k] u32: the slot of each choice, or ExpertSlots::kOnHost or kOtherWave
  Buffer handover;      // input of the processor's experts: ids, weights, residual
  Buffer host_outputs;  // [rows, hidden]: output of the processor's experts
  // Only for large steps:
  Buffer row_scales;      // [rows]: scales of multiply_matrices
  Buffer choices;         // [rows * top_k] u32: choices of experts, sorted by expert
  Buffer tiles;           // tiles of rows, made by group_rows
  Buffer expert_outputs;  // [rows, top_k, slice]: input of swiglu_sum
};

}  // namespace kexa
