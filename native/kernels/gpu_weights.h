// The model's weights on the GPU.
#pragma once

#include "gpu/gpu.h"
#include "model/weights.h"
#include "plan/gpu_plan.h"

namespace kexa {

// Matrices of equal shape and type in one buffer, rows one after another. Each row is padded with zeros to whole chunks
// of eight weights, which is what a kernel reads at once.
struct GpuMatrix {
  Buffer buffer;
  Type type = Type::kBf16;
  int rows = 0, columns = 0;

  int column_chunks() const { return (columns + 7) / 8; }
};

struct GpuLayer {
  Buffer attention_norm, ffn_norm;  // [stride of hidden]
  GpuMatrix qkv;                    // [q rows, then k's, then v's; hidden]
  Buffer head_norms;                // [2, head_dim]: q's, k's
  GpuMatrix o;                      // [hidden, heads * head_dim]
  GpuMatrix router;                 // [experts, hidden]
  Buffer router_bias;               // [experts]
  GpuMatrix routed_input;           // [experts, gate rows then up rows; hidden]
  GpuMatrix routed_output;          // [experts, hidden; width]
  GpuMatrix shared_input;           // [gate rows then up rows; hidden]: the shared expert, or the dense FFN
  GpuMatrix shared_output;          // [hidden; width]
};

struct GpuWeights {
  // Uploads everything. `progress` may throw to stop.
  GpuWeights(Gpu& gpu, const ModelDescription& description, const Weights& weights, const LoadProgress& progress);

  std::vector<GpuLayer> layers;
  Buffer norm, mtp_embedding_norm, mtp_hidden_norm, mtp_norm;  // [stride of hidden]
  GpuMatrix embed, head, mtp_fc;                               // head has no buffer if it is tied
  Buffer nothing;                                              // bound where a kernel reads no weights
};

}  // namespace kexa
