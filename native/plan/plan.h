// What lives where and how large it is, decided before anything is allocated.
#pragma once

#include "plan/gpu_plan.h"

namespace kexa {

struct MemoryPlan {
  int64_t weight_bytes = 0, mapped_weight_bytes = 0;
  int64_t global_cache_bytes = 0, sliding_cache_bytes = 0, mtp_cache_bytes = 0;
  int64_t cache_bytes_per_token = 0;  // global layers, the MTP layer included where it is one
  int64_t scratch_bytes = 0;
  // Of a GPU's cache, which grows: what is there at load, and of the scratch what growing takes for a while.
  int64_t cache_at_load_bytes = 0, growth_bytes = 0;
  int64_t prefix_cache_bytes = 0;  // of main memory, at most
  bool is_host = false;            // the device's memory is main memory, so that its total has those bytes too
  // Routed experts of a GPU's model that has slots for some of them: all stay in main memory, read in place from their
  // files or stored anew. Not in the totals, which are the device's.
  int64_t host_expert_bytes = 0, mapped_expert_bytes = 0;
  int64_t expert_slot_bytes = 0;  // of the device's weights

  MemoryPlan& operator+=(const MemoryPlan& other) {
    weight_bytes += other.weight_bytes, mapped_weight_bytes += other.mapped_weight_bytes;
    global_cache_bytes += other.global_cache_bytes, sliding_cache_bytes += other.sliding_cache_bytes;
    mtp_cache_bytes += other.mtp_cache_bytes, cache_bytes_per_token += other.cache_bytes_per_token;
    scratch_bytes += other.scratch_bytes;
    host_expert_bytes += other.host_expert_bytes, mapped_expert_bytes += other.mapped_expert_bytes;
    expert_slot_bytes += other.expert_slot_bytes;
    cache_at_load_bytes += other.cache_at_load_bytes, growth_bytes += other.growth_bytes;
    return *this;
  }
  int64_t cache_bytes() const { return global_cache_bytes + sliding_cache_bytes + mtp_cache_bytes; }
  int64_t total_bytes() const {
    return weight_bytes + cache_bytes() + scratch_bytes + (is_host ? prefix_cache_bytes : 0);
  }
};

// The floats of one step's working buffers, for `rows` rows. The CPU device allocates exactly these.
struct ScratchSizes {
  int64_t hidden, q, kv, attention, ffn, router, routes, logits, rounded, per_thread;
  int64_t total_floats(int threads) const {
    return hidden + q + kv + attention + ffn + router + routes + logits + rounded + per_thread * threads;
  }
};

// What one of several devices holds.
struct PartPlan {
  int first_layer = 0, layers = 0;  // of the model's own; the MTP block's is the last device's
  MemoryPlan memory;
};

struct Plan {
  PlanOptions options;
  KvLayout kv;
  ScratchSizes scratch;
  GpuPlan gpu;  // empty on the CPU
  MemoryPlan memory;
  std::vector<PartPlan> parts;  // of several devices, which have no scratch and no GPU plan in common
};

// Keys whose scores are held at once; the softmax goes on from block to block.
constexpr int kKeyBlock = 128;

// Columns of the widest input of a product, the FFN's inner activations apart.
int widest_input(const ModelDescription& description);
// RoundedBlocks of one row's inner activations in a layer's FFN.
int64_t rounded_inner_blocks(const ModelDescription& description, int layer);

Plan make_plan(const ModelDescription& description, const PlanOptions& options);

}  // namespace kexa
