// The weights of a model, bound to their places in the mapped files.
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
#include "quant/packed.h"

namespace kexa {

// A matrix in memory that outlives this view. Rows are contiguous; the address need not be aligned.
struct Matrix {
  const std::byte* data = nullptr;
  Type type = Type::kF32;
  int rows = 0;           // outputs
  int columns = 0;        // inputs
  ScaleGrid scales = {};  // of f8_e4m3; the values outlive this view too
  // A matrix that is still to be repacked to `type`. `data` is then no row, but says that there is a file.
  const PackedMatrix* packed = nullptr;
  // For made-up weights (synthetic.h). With a seed and without data, the device makes the matrix.
  uint32_t seed = 0;
  std::optional<Type> held = {};  // the type in which a device must hold it; nullopt: its own type
  std::string_view name = {};     // in the spelling of lib/description.ts, for errors

  Type stored() const { return held.value_or(type); }
  // Whether its bytes are not those of a row in stored().
  bool is_made() const { return held || packed; }

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
  std::vector<float> q_norm, k_norm;  // [head_dim]; empty in a model without QK-norm
  FfnWeights dense;                   // dense layers
  Matrix router;                      // [experts, hidden]
  std::vector<float> router_bias;     // [experts], added only for choosing
  std::vector<FfnWeights> experts;
  FfnWeights shared;  // width shared_experts * ffn_width
};

struct MtpWeights {
  std::vector<float> embedding_norm, hidden_norm, norm;  // [hidden]
  Matrix fc;                                             // [hidden, 2 * hidden], first the columns of the embedding
};

// Called with the bytes done and the total. Throws to stop loading.
using LoadProgress = std::function<void(int64_t, int64_t)>;

// Who converts, or repacks, a matrix whose type on the device differs from its file's.
// - kHere: Weights, in main memory, before the upload.
// - kOnDevice: the device while it uploads, to Matrix::held.
// - kExpertsHere: Weights converts the routed experts, the device all others.
enum class ConversionPlace : uint8_t { kHere, kOnDevice, kExpertsHere };

class Weights {
 public:
  // Maps the files and binds every tensor. `description` must outlive it. `type` and an entry's own `held` convert
  // matrices to another type; nullopt leaves them in the files' types. Without conversion, files of at most
  // `warm_limit` bytes together are read once, so that the first step need not wait for the disk. Matrices of a
  // synthetic description are made up where others would be converted. Throws:
  // - KEXA_BAD_FILE if an entry lies outside its file, a scale is negative or not finite, a zero point or a column's
  //   group is none, or a matrix has another shape than its file says;
  // - KEXA_TENSOR_MISMATCH if a tensor is missing or has another shape;
  // - KEXA_UNSUPPORTED if a value does not fit the type it is converted to.
  Weights(const ModelDescription& description, std::optional<Type> type, ConversionPlace conversion, int64_t warm_limit,
          const LoadProgress& progress);

  std::vector<LayerWeights> layers;  // layer_count() of them
  MtpWeights mtp;
  // Empty if this part of the model does not need them:
  Matrix embed;             // [vocab, hidden]
  std::vector<float> norm;  // [hidden]
  Matrix head;              // [vocab, hidden]

 private:
  struct Binder;
  std::vector<MappedFile> files_;
  std::vector<std::unique_ptr<std::byte[]>> stored_;
  std::vector<std::vector<float>> scales_;
  std::vector<std::unique_ptr<PackedMatrix>> packed_;
};

}  // namespace kexa
