// What is asked of a plan, and how the KV cache is laid out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/description.h"
#include "plan/host_experts.h"

namespace kexa {

// How the GPU's kernels are written: kAuto takes the best the adapter offers, the others insist.
enum class GpuKernels : uint8_t { kAuto, kPlain, kSubgroups, kMatrices };

// One of the devices that share a model.
struct PartOptions {
  std::string adapter;                 // as PlanOptions::adapter
  std::vector<std::string> plain_ops;  // as PlanOptions::plain_ops
  int layers = 0;                      // how many it takes; 0 for all of them: as many as is best
  int64_t memory_bytes = 0;            // that it has; 0: not known
};

struct PlanOptions {
  int context_size = 0;   // tokens of one sequence; also the rows all sequences share in the global layers' pages
  int prefill_chunk = 0;  // most rows of a step
  int threads = 1;
  Type cache_type = Type::kF32;
  bool is_rounding = false;  // the CPU's activations to 16 bits, where quant/rounded.h says
  // Of main memory, for rings of kept prefixes; 0: none are kept, -1: what the turns of kSlots conversations take.
  int64_t prefix_cache_bytes = 0;
  bool keeps_turns_only = false;    // of prompts only the points that GenerateParams::keep_at names are kept
  std::optional<Type> weight_type;  // nullopt: as in the file, read in place
  std::string adapter;              // part of a GPU adapter's name, "gpu" (the best) or "null"; empty: the CPU
  std::string dawn_library;         // path of the library that holds Dawn
  std::string dawn_identity;        // differs for each build of that library
  std::string blob_folder;          // where compiled kernels are kept; empty: nowhere
  bool is_checked = false;          // with Dawn's validation and bounds checks
  GpuKernels gpu_kernels = GpuKernels::kAuto;
  Type gpu_elements = Type::kF32;  // of activations between the GPU's ops: f32 or f16
  // Ops of Device whose kernels go without the subgroups that there are, because tuning found them faster so; those of
  // large steps are called "... large".
  std::vector<std::string> plain_ops;
  // Of a GPU's layers: routed experts that it holds of each. -1: all of them.
  int expert_slots = -1;
  ExpertMisses expert_misses = ExpertMisses::kCopy;
  std::vector<float> expert_heat;  // as ExpertSlots takes it

  bool has_expert_slots() const { return expert_slots >= 0; }
  // Whether the processor computes some of them.
  bool has_host_experts() const { return has_expert_slots() && expert_misses != ExpertMisses::kCopy; }
  std::vector<PartOptions> parts;  // in the layers' order; none: one device, as `adapter` has it
  int cache_start_rows = 0;        // most rows that a GPU's global layers are given at load; the rest as it is used
};

// Sequences whose cache is kept at the same time. A further one takes the place of the one unused for longest, which is
// computed again should it go on.
constexpr int kSlots = 4;
constexpr int kPageRows = 64;
// A step of a prompt has no more rows than make so many pairs of a row and a token it may look at, or kLeastChunk:
// 1,024 rows behind 65,536 tokens, 256 behind 262,144. A device is waited for a step at a time, and is taken for lost
// when that takes too long.
constexpr int64_t kMostPairs = 1 << 26;
constexpr int kLeastChunk = 128;
// Ring slack for rows that speculative decoding may have to drop.
constexpr int kMaxDrafts = 8;
// Tokens by which what is kept of a sequence can be gone back, and rows of a sliding layer that are kept for it: what
// the next token sees, and those.
constexpr int kKeptReach = 2;
constexpr int kept_rows(int window) { return window - 1 + kKeptReach; }

struct KvLayout {
  Type type = Type::kF32;
  int kv_heads = 0, head_dim = 0;
  int pages = 0;  // of kPageRows rows, shared by all slots; a page number means the same page in every global layer
  int start_pages = 0;  // of them, at most: what a GPU is given at load
  // For each layer, MTP's last. 0: a global layer, kept in pages. Else the rows of one slot's ring, which is
  // window + max(prefill_chunk, kMaxDrafts + 1) - 1: a step writes its rows before its first row has read, so the ring
  // must still hold the window of the first row once the last one is in; and rows of rejected drafts must not have
  // overwritten what the next step reads.
  std::vector<int> ring_rows;

  int kv_width() const { return kv_heads * head_dim; }  // elements of K, and of V, in a row
  // Elements of a head as it is stored: whole blocks, the last of them filled up with zeros.
  constexpr int head_elements() const {
    const int block = facts_of(type).block_elements;
    return (head_dim + block - 1) / block * block;
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
