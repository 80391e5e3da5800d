// Decides which buffers there are and how large they are, before anything is allocated.
#pragma once

#include <iterator>

#include "plan/gpu_plan.h"

namespace kexa {

struct MemoryPlan {
  int64_t weight_bytes = 0, mapped_weight_bytes = 0;
  int64_t global_cache_bytes = 0, sliding_cache_bytes = 0, mtp_cache_bytes = 0;
  int64_t cache_bytes_per_token = 0;  // global layers; with the MTP layer if it is global
  int64_t scratch_bytes = 0;
  // For a GPU's cache, which grows: its bytes at load, and the part of the scratch that growing takes for a while.
  int64_t cache_at_load_bytes = 0, growth_bytes = 0;
  int64_t prefix_cache_bytes = 0;  // of main memory, at most
  bool is_host = false;            // the device's memory is main memory, so its total includes the prefix cache
  // Only if a GPU has slots for some routed experts: all experts stay in main memory, converted or read in place from
  // the files (mapped). The totals do not include them, because they are the device's.
  int64_t host_expert_bytes = 0, mapped_expert_bytes = 0;
  int64_t expert_slot_bytes = 0;  // part of the device's weight_bytes

  int64_t cache_bytes() const { return global_cache_bytes + sliding_cache_bytes + mtp_cache_bytes; }
  int64_t total_bytes() const {
    return weight_bytes + cache_bytes() + scratch_bytes + (is_host ? prefix_cache_bytes : 0);
  }
};

// The fields that add up over devices that share a model: all but the prefix cache, which is kept once, and is_host.
inline constexpr int64_t MemoryPlan::* kSummedBytes[] = {
    &MemoryPlan::weight_bytes,        &MemoryPlan::mapped_weight_bytes, &MemoryPlan::global_cache_bytes,
    &MemoryPlan::sliding_cache_bytes, &MemoryPlan::mtp_cache_bytes,     &MemoryPlan::cache_bytes_per_token,
    &MemoryPlan::scratch_bytes,       &MemoryPlan::cache_at_load_bytes, &MemoryPlan::growth_bytes,
    &MemoryPlan::host_expert_bytes,   &MemoryPlan::mapped_expert_bytes, &MemoryPlan::expert_slot_bytes};
static_assert(sizeof(MemoryPlan) == (std::size(kSummedBytes) + 2) * sizeof(int64_t));

inline MemoryPlan& operator+=(MemoryPlan& to, const MemoryPlan& other) {
  for (const auto bytes : kSummedBytes) to.*bytes += other.*bytes;
  return to;
}

// Floats of the working buffers of a step with the most rows. The CPU device allocates exactly these.
struct ScratchSizes {
  int64_t hidden, q, kv, attention, ffn, router, routes, logits, rounded, per_thread;
  int64_t total_floats(int threads) const {
    return hidden + q + kv + attention + ffn + router + routes + logits + rounded + per_thread * threads;
  }
};

// The share of one device, if several share the model.
struct PartPlan {
  int first_layer = 0, layers = 0;  // of the model's own layers; the MTP block belongs to the last device
  MemoryPlan memory;
};

struct Plan {
  PlanOptions options;
  KvLayout kv;
  ScratchSizes scratch;
  GpuPlan gpu;  // empty on the CPU
  MemoryPlan memory;
  std::vector<PartPlan> parts;  // for several devices, which share no scratch and no GPU plan
};

// Keys whose scores are held at once. The softmax continues from block to block.
constexpr int kKeyBlock = 128;

// Columns of the widest input of a product, apart from the FFN's inner activations.
int widest_input(const ModelDescription& description);
// The number of RoundedBlock in one row of a layer's inner FFN activations.
int64_t rounded_inner_blocks(const ModelDescription& description, int layer);

Plan make_plan(const ModelDescription& description, const PlanOptions& options);

}  // namespace kexa
