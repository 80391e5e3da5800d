// The weights of the model on the GPU.
#pragma once

#include <algorithm>

#include "cache/expert_slots.h"
#include "gpu/gpu.h"
#include "model/weights.h"
#include "plan/plan.h"

namespace kexa {

// Matrices of one type and width in one buffer, row after row. Each row is padded with zeros to whole chunks of eight
// weights, which a kernel reads at once, or repacked as quantized_layout.h and fp8_layout.h describe.
struct GpuMatrix {
  Buffer buffer;
  Type type = Type::kBf16;
  int rows = 0, columns = 0;

  int column_chunks() const { return (columns + 7) / 8; }
  // The distance between two rows, in words of 16 bytes.
  int row_words() const { return gpu_row_words(type, columns); }
};

// The types of gate and up, which share a buffer: all rows of gate, then all rows of up.
struct InputTypes {
  Type gate = Type::kBf16, up = Type::kBf16;

  bool are_alike() const { return gate == up; }
};

// The most buffers for a layer's experts.
constexpr int kMaxParts = 4;

// The matrices of a layer's experts, or of the experts in its slots. They are divided into as many buffers as needed to
// bind each buffer whole.
struct GpuExperts {
  std::vector<Buffer> parts;  // the experts in order, experts_per_part in each part but the last
  int experts_per_part = 0;
  int64_t expert_bytes = 0;  // distance between two experts

  // Parts that a kernel must know of. 1 if there are no experts.
  int part_count() const { return std::max(1, int(parts.size())); }
  // Adds bindings of the further parts at the end. `bindings` has the first part already.
  std::vector<Binding> with_parts(std::vector<Binding> bindings) const {
    for (size_t i = 1; i < parts.size(); ++i) bindings.push_back(read(parts[i]));
    return bindings;
  }
};

struct GpuLayer {
  Buffer attention_norm, ffn_norm;  // [stride of hidden]
  std::vector<GpuMatrix> qkv;       // [rows of q, k, v; hidden]: one matrix for each type
  Buffer head_norms;                // [2, head_dim]: of q, then of k; none without QK-norm
  GpuMatrix o;                      // [hidden, heads * head_dim]
  GpuMatrix router;                 // [experts, hidden]
  Buffer router_bias;               // [experts]
  GpuExperts routed_input;          // [experts or slots, gate rows then up rows; hidden]
  InputTypes routed_types;
  GpuExperts routed_output;  // [experts or slots, hidden; width]
  Type routed_output_type = Type::kBf16;
  Buffer shared_input;  // [gate rows then up rows; hidden]: the shared expert or the dense FFN
  InputTypes shared_types;
  GpuMatrix shared_output;  // [hidden; width]
};

// Throws KEXA_UNSUPPORTED if the experts of a layer have different types. All their gates must have one type, all ups
// one, and all downs one.
void check_types(const ModelDescription& description, const Weights& weights);

struct GpuWeights {
  // Uploads all weights, and converts matrices that have another type on the device. Uploads only the routed experts in
  // `slots`; all if it is null. `progress` may throw to stop. Throws:
  // - KEXA_UNSUPPORTED if a layer's experts need more buffers than can be bound, or a value does not fit its type;
  // - KEXA_BAD_FILE if an FP8 weight is NaN.
  GpuWeights(Gpu& gpu, const ModelDescription& description, const Weights& weights, const Plan& plan,
             const ExpertSlots* slots, const LoadProgress& progress);

  std::vector<GpuLayer> layers;
  Buffer norm, mtp_embedding_norm, mtp_hidden_norm, mtp_norm;  // [stride of hidden]
  GpuMatrix embed, head, mtp_fc;                               // without a buffer if the model part does not have them
};

}  // namespace kexa
