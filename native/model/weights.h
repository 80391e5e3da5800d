// The model's weights, bound to their places in the mapped files.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "files/mapped_file.h"
#include "model/description.h"
#include "quant/fp8.h"

namespace kexa {

// A matrix somewhere in memory that outlives it. Rows are contiguous; the address need not be aligned.
struct Matrix {
  const std::byte* data = nullptr;
  Type type = Type::kF32;
  int rows = 0;           // outputs
  int columns = 0;        // inputs
  ScaleGrid scales = {};  // of f8_e4m3; outlives it too
  // Of made-up weights (synthetic.h). With a seed and no data, the matrix is for its device to make.
  uint32_t seed = 0;
  std::optional<Type> held = {};  // what a device is to store it as on its own memory, if not as it is
  std::string_view name = {};     // for errors; as lib/description.ts spells it

  Type stored() const { return held.value_or(type); }

  const std::byte* row(int index) const { return data + index * bytes_of(type, columns); }
};

// A SwiGLU feed-forward: down(silu(gate x) * (up x)).
struct FfnWeights {
  Matrix gate;  // [width, hidden]
  Matrix up;    // [width, hidden]
  Matrix down;  // [hidden, width]
};

struct LayerWeights {
  std::vector<float> attention_norm;  // [hidden]
  std::vector<float> ffn_norm;        // [hidden]
  Matrix q;                           // [heads * head_dim, hidden]
  Matrix k, v;                        // [kv_heads * head_dim, hidden]
  Matrix o;                           // [hidden, heads * head_dim]
  std::vector<float> q_norm, k_norm;  // [head_dim]
  FfnWeights dense;                   // dense layers
  Matrix router;                      // [experts, hidden]
  std::vector<float> router_bias;     // [experts], added for choosing only
  std::vector<FfnWeights> experts;
  FfnWeights shared;  // width shared_experts * ffn_width
};

struct MtpWeights {
  std::vector<float> embedding_norm, hidden_norm, norm;  // [hidden]
  Matrix fc;                                             // [hidden, 2 * hidden], the embedding's half first
};

// Called with bytes done and in all; throws to stop.
using LoadProgress = std::function<void(int64_t, int64_t)>;

// Who converts a matrix whose type on the device differs from its file's.
// - kHere: Weights, in main memory, before the upload.
// - kOnDevice: the device while it uploads, to Matrix::held.
// - kExpertsHere: Weights converts the routed experts, the device all others.
enum class ConversionPlace : uint8_t { kHere, kOnDevice, kExpertsHere };

class Weights {
 public:
  // Maps the files and binds every tensor. Throws KEXA_BAD_FILE if an entry lies outside its file or a scale is
  // negative or not finite, KEXA_TENSOR_MISMATCH if one is missing or has another shape. `type` other than nullopt
  // stores matrices anew in that type, as does an entry's own `held`; throws KEXA_UNSUPPORTED if a value does not fit
  // it. Otherwise the files are read once, so that the first step does not wait for the disk, unless they are larger
  // than `warm_limit` bytes. Matrices of a synthetic description are made up where others are stored anew.
  // `description` must outlive it.
  Weights(const ModelDescription& description, std::optional<Type> type, ConversionPlace conversion, int64_t warm_limit,
          const LoadProgress& progress);

  std::vector<LayerWeights> layers;  // layer_count() of them
  MtpWeights mtp;
  // Those that the description's part of the model has no use for are empty.
  Matrix embed;             // [vocab, hidden]
  std::vector<float> norm;  // [hidden]
  Matrix head;              // [vocab, hidden]

 private:
  struct Binder;
  std::vector<MappedFile> files_;
  std::vector<std::unique_ptr<std::byte[]>> stored_;
  std::vector<std::vector<float>> scales_;
};

}  // namespace kexa
