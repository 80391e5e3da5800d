// The model's weights on the GPU.
#pragma once

#include <algorithm>

#include "gpu/gpu.h"
#include "model/weights.h"
#include "cache/expert_slots.h"
#include "plan/gpu_plan.h"

namespace kexa {

// Matrices of equal type and width in one buffer, rows one after another: each padded with zeros to whole chunks of
// eight weights, which is what a kernel reads at once, or repacked as quantized_layout.h and fp8_layout.h say.
struct GpuMatrix {
  Buffer buffer;
  Type type = Type::kBf16;
  int rows = 0, columns = 0;

  int column_chunks() const { return (columns + 7) / 8; }
  // From a row to the next, in words of 16 bytes.
  int row_words() const { return gpu_row_words(type, columns); }
};

// How gate and up are stored, which stand in one buffer: all of gate's rows, then up's.
struct InputTypes {
  Type gate = Type::kBf16, up = Type::kBf16;

  bool are_alike() const { return gate == up; }
};

// Most buffers a layer's experts take.
constexpr int kMaxParts = 4;

// Matrices of each of a layer's experts, or of those that stand in its slots, in as many buffers as it takes for each
// to be bound whole.
struct GpuExperts {
  std::vector<Buffer> parts;  // the experts in order, experts_per_part in each but the last
  int experts_per_part = 0;
  int64_t expert_bytes = 0;  // from an expert to the next

  // What a kernel is told to split by; 1 where there are no experts.
  int part_count() const { return std::max(1, int(parts.size())); }
  // A kernel's bindings, the first part among them, with the further parts at the end.
  std::vector<Binding> with_parts(std::vector<Binding> bindings) const {
    for (size_t i = 1; i < parts.size(); ++i) bindings.push_back(read(parts[i]));
    return bindings;
  }
};

struct GpuLayer {
  Buffer attention_norm, ffn_norm;  // [stride of hidden]
  std::vector<GpuMatrix> qkv;       // [q rows, then k's, then v's; hidden], those of one type together
  Buffer head_norms;                // [2, head_dim]: q's, k's
  GpuMatrix o;                      // [hidden, heads * head_dim]
  GpuMatrix router;                 // [experts, hidden]
  Buffer router_bias;               // [experts]
  GpuExperts routed_input;          // [experts or slots, gate rows then up rows; hidden]
  InputTypes routed_types;
  GpuExperts routed_output;  // [experts or slots, hidden; width]
  Type routed_output_type = Type::kBf16;
  Buffer shared_input;  // [gate rows then up rows; hidden]: the shared expert, or the dense FFN
  InputTypes shared_types;
  GpuMatrix shared_output;  // [hidden; width]
};

// Throws KEXA_UNSUPPORTED if a layer's experts are stored in different types: all their gates must be in one, all ups
// and all downs.
void check_types(const ModelDescription& description, const Weights& weights);

struct GpuWeights {
  // Uploads everything, `bytes` in all; matrices that are to be held in another type are stored anew on the way.
  // `progress` may throw to stop. Throws KEXA_UNSUPPORTED if a layer's experts take more buffers than can be bound or a
  // value does not fit its type, KEXA_BAD_FILE for a weight in FP8 that is not a number; KEXA_GPU_BUFFER_BYTES makes
  // buffers smaller than they need be, for tests.
  // Of routed experts those are uploaded that stand in `slots`, all if it is null.
  GpuWeights(Gpu& gpu, const ModelDescription& description, const Weights& weights, int64_t bytes,
             const ExpertSlots* slots, const LoadProgress& progress);

  std::vector<GpuLayer> layers;
  Buffer norm, mtp_embedding_norm, mtp_hidden_norm, mtp_norm;  // [stride of hidden]
  GpuMatrix embed, head, mtp_fc;                               // without a buffer where there is none
  Buffer empty_buffer;                                         // bound where a kernel reads no weights
};

}  // namespace kexa
