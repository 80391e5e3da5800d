// The options of a plan, and the layout of the KV cache.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "model/description.h"
#include "plan/host_experts.h"
#include "plan/limits.h"

namespace kexa {

// The variant of the GPU's kernels. kAuto takes the best that the adapter has; the others are demands.
enum class GpuKernels : uint8_t { kAuto, kPlain, kSubgroups, kMatrices };

// One of the devices that share a model.
struct PartOptions {
  std::string adapter;                 // as PlanOptions::adapter
  std::vector<std::string> plain_ops;  // as PlanOptions::plain_ops
  int layers = 0;                      // its number of layers; 0 for all devices: the plan divides the layers
  int64_t memory_bytes = 0;            // of the device; 0: unknown
};

struct PlanOptions {
  int context_size = 0;  // tokens of one sequence
  // Sequences whose caches exist at the same time. One more takes the slot unused for longest, whose sequence must be
  // computed again if it continues.
  int slots = kDefaultSlots;
  // Tokens that all sequences share in the global layers' pages, at least context_size. 0: context_size.
  int cache_tokens = 0;
  int prefill_chunk = 0;     // most rows of a step
  double most_step_ms = 50;  // what a prompt's rows may add to the time between two tokens of an answer
  int64_t park_bytes = 0;    // main memory for the rows of parked sequences
  int threads = 1;
  bool pins_threads = true;  // each thread of the CPU device to a core of its own, where OwnCores gives it one
  Type cache_type = Type::kF32;
  // Activations are rounded to 16 bits: the CPU's for the types in quant/rounded.h, a GPU's for those in dots_layout.h.
  bool is_rounding = false;
  // Main memory for rings of kept prefixes. 0: no prefix is kept. -1: enough for the turns of `slots` conversations.
  int64_t prefix_cache_bytes = 0;
  bool keeps_turns_only = false;    // keeps only prefixes that GenerateParams::keep_at names
  std::optional<Type> weight_type;  // nullopt: the type of the file, read in place
  std::string adapter;              // part of a GPU adapter's name, "gpu" (the best) or "null"; empty: the CPU
  std::string dawn_library;         // path of the library that holds Dawn
  std::string vulkan_library;       // path of the Vulkan loader; empty: the system's
  std::string dawn_identity;        // differs for each build of that library
  std::string blob_folder;          // where compiled kernels are kept; empty: nowhere
  bool keeps_device = false;        // leaves the GPU's device open for the next model
  bool is_checked = false;          // keeps Dawn's validation and bounds checks
  int64_t gpu_buffer_bytes = 0;     // most bytes of a layer's routed experts in one buffer; 0: the GPU's own limit
  GpuKernels gpu_kernels = GpuKernels::kAuto;
  Type gpu_elements = Type::kF32;  // f32 or f16, for activations between the GPU's ops
  // Ops of Device whose kernels do without subgroups, because tuning found that faster. The op of a large step is named
  // "... large".
  std::vector<std::string> plain_ops;
  // Routed experts that a GPU holds for each of its layers. -1: all.
  int expert_slots = -1;
  ExpertMisses expert_misses = ExpertMisses::kCopy;
  std::vector<float> expert_heat;  // [layers, experts], for ExpertSlots

  // The most rows of a step of answers: all slots' last tokens with the most drafts, or an answer computed again. With
  // many slots there are fewer drafts, because buffers of attention take megabytes for each row.
  int decode_rows() const {
    const int wanted = std::max(slots * (kMaxDrafts + 1), kSmallRows);
    return std::min(prefill_chunk, std::max(slots, std::min(wanted, kMostDecodeRows)));
  }

  bool has_expert_slots() const { return expert_slots >= 0; }
  // Whether the processor computes some of the routed experts.
  bool has_host_experts() const { return has_expert_slots() && expert_misses != ExpertMisses::kCopy; }
  std::vector<PartOptions> parts;  // in the layers' order; empty: one device, which `adapter` names
  int cache_start_rows = 0;  // the most rows that a GPU's global layers get at load; more are made when they are used
};

// A kept prefix can be cut back by this many tokens. kept_rows() is the number of rows that it keeps of a sliding
// layer: the window of the next token, and the rows to cut back.
constexpr int kKeptReach = 2;
constexpr int kept_rows(int window) { return window - 1 + kKeptReach; }

struct KvLayout {
  Type type = Type::kF32;
  int kv_heads = 0, head_dim = 0;
  int slots = 0;
  int pages = 0;        // of kPageRows rows, shared by all slots; page i is the same page in every global layer
  int slot_pages = 0;   // the most pages of one slot
  int start_pages = 0;  // the most pages that a GPU gets at load
  // For each layer, the MTP layer last: 0 for a global layer, which has pages. Else the rows of a slot's ring, window +
  // max(prefill_chunk, kMaxDrafts + 1) - 1. A step writes all its rows before the first one reads, so the ring must
  // still have that row's window when the last row is in. And rows of rejected drafts must not overwrite the window of
  // the next step.
  std::vector<int> ring_rows;

  int kv_width() const { return kv_heads * head_dim; }  // elements of a row's K, and also of its V
  // Elements of a stored head: whole blocks, the last one filled up with zeros.
  constexpr int head_elements() const {
    const int block = facts_of(type).block_elements;
    return (head_dim + block - 1) / block * block;
  }
  // Rows of a layer's storage: of all slots' rings, or of all pages.
  int64_t cache_rows(int layer) const {
    return ring_rows[layer] ? int64_t(slots) * ring_rows[layer] : int64_t(pages) * kPageRows;
  }
  int64_t head_bytes() const { return bytes_of(type, head_elements()); }
  int64_t row_bytes() const { return kv_heads * head_bytes(); }
  // Pages to allocate for at least `wanted`: the smallest of `pages`, `pages / 2`, `pages / 4`, ... (rounded up) that
  // is enough and not below `start_pages`. So the cache grows by doubling, and a growth copies at most half of the
  // final size.
  constexpr int grown_pages(int wanted) const {
    int found = pages;
    while (found > start_pages && (found + 1) / 2 >= wanted) found = (found + 1) / 2;
    return found;
  }
};

}  // namespace kexa
