// A model before its weights are mapped: its sizes, the switches of its layers, and where each tensor is.
//
// The fields are those of lib/description.ts, where they are explained and checked. A field has one name in both:
// hiddenSize there is hidden_size here. The lists in KEXA_FIELDS are the only ones: the addon reads a description by
// them, and the fingerprint of a saved session covers them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/numbers.h"
#include "quant/packed.h"

namespace kexa {

// The scales of an f8_e4m3 matrix: a grid, of which only the part that the matrix needs is read.
struct ScaleEntry {
  std::string name;    // as the file has it
  int file = 0;        // index into ModelDescription::files
  int64_t offset = 0;  // of the first scale that is needed, from the start of the file [bytes]
  Type type = Type::kF32;
  int block_rows = 1, block_columns = 1, skipped_rows = 0;  // as in ScaleGrid
  KEXA_FIELDS(ScaleEntry, name, file, offset, type, block_rows, block_columns, skipped_rows)

  int64_t grid_rows(int64_t rows) const { return (skipped_rows + rows + block_rows - 1) / block_rows; }
  int64_t grid_columns(int64_t columns) const { return (columns + block_columns - 1) / block_columns; }
};

// A stored tensor that belongs to a packed matrix.
struct PackedPlace {
  std::string name;    // as the file has it
  int file = 0;        // index into ModelDescription::files
  int64_t offset = 0;  // from the start of the file [bytes]
  KEXA_FIELDS(PackedPlace, name, file, offset)
};

// How a matrix in int4, int8 or fp4 lies, and where all but its codes are: see PackedMatrix, whose fields have the same
// names.
struct PackedEntry {
  int64_t code_bytes = 0;  // from the entry's offset on
  PackedPlace scales;
  std::optional<PackedPlace> zeros;
  std::optional<PackedPlace> group_index;   // i32 [inputs], the group of each column; nullopt: they are in order
  std::optional<PackedPlace> factor;        // f32, on all scales
  std::optional<PackedPlace> weight_shape;  // i64 [2], which must say [outputs, inputs]
  bool divides_by_factor = false;           // the scales are divided by the factor
  int bits = 4;
  bool is_float = false;
  int group_size = 0;
  bool has_one_scale = false;
  int stored_rows = 0, first_row = 0;
  CodeLayout code_layout = CodeLayout::kRows;
  ScaleFormat scale_format = ScaleFormat::kF32;
  ZeroLayout zero_layout = ZeroLayout::kMiddle;
  KEXA_FIELDS(PackedEntry, code_bytes, scales, zeros, group_index, factor, weight_shape, divides_by_factor, bits,
              is_float, group_size, has_one_scale, stored_rows, first_row, code_layout, scale_format, zero_layout)
};

struct TensorEntry {
  std::string name;    // the core's own name: see TensorEntry in lib/description.ts
  int file = 0;        // index into ModelDescription::files
  int64_t offset = 0;  // from the start of the file [bytes]
  int64_t bytes = 0;
  Type type = Type::kBf16;
  std::optional<Type> held;          // the type that it is converted to when loaded; nullopt: the plan says it for all
  std::vector<int64_t> shape;        // row-major, [outputs, inputs]
  std::optional<ScaleEntry> scales;  // an f8_e4m3 matrix has them
  // A matrix that is repacked when loaded has it. `type` and `bytes` are those of the result.
  std::optional<PackedEntry> packed;
  KEXA_FIELDS(TensorEntry, name, file, offset, bytes, type, held, shape, scales, packed)

  bool is_routed_expert() const { return name.find(".experts.") != std::string::npos; }
  // Bytes from `offset` on in the file.
  int64_t file_bytes() const { return packed ? packed->code_bytes : bytes; }
  // Bytes of the scales as floats. 0 if there are none.
  int64_t scale_bytes() const {
    return scales ? scales->grid_rows(shape[0]) * scales->grid_columns(shape[1]) * int64_t(sizeof(float)) : 0;
  }
};

enum class FfnKind { kDense, kMoe };
enum class NormPlacement { kPre, kPost };

struct LayerDescription {
  int window = 0;  // keys that a query sees, itself included; 0: all (a global layer)
  bool rope = false;
  FfnKind ffn = FfnKind::kDense;
  int ffn_width = 0;       // of the dense FFN, or of one routed expert
  float swiglu_limit = 0;  // 0: no limit
  KEXA_FIELDS(LayerDescription, window, rope, ffn, ffn_width, swiglu_limit)

  bool is_moe() const { return ffn == FfnKind::kMoe; }
};

struct MoeDescription {
  int experts = 0, top_k = 0;
  int groups = 1, kept_groups = 1;
  int shared_experts = 0;
  bool normalize = true;
  float scale = 1;
  KEXA_FIELDS(MoeDescription, experts, top_k, groups, kept_groups, shared_experts, normalize, scale)
};

struct RopeScaling {
  double factor = 1, low_freq_factor = 1, high_freq_factor = 1;
  double original_max_positions = 0;
  KEXA_FIELDS(RopeScaling, factor, low_freq_factor, high_freq_factor, original_max_positions)
};

// The layers of a model that one device has. JavaScript describes whole models.
struct ModelPart {
  int first_layer = 0;    // the index of layers[0] in the whole model; tensors are named by it
  bool has_start = true;  // embeds tokens
  bool has_end = true;    // has the final norm, the head, and the MTP block if there is one
  KEXA_FIELDS(ModelPart, first_layer, has_start, has_end)
};

// Devices that share a model have a description each, with the `layers`, `mtp` and `tensors` of their own part.
struct ModelDescription {
  int vocab_size = 0, hidden_size = 0, heads = 0, kv_heads = 0, head_dim = 0;
  float norm_epsilon = 0;
  NormPlacement norm_placement = NormPlacement::kPre;
  bool qk_norm = true;
  double rope_theta = 0;
  std::optional<RopeScaling> rope_scaling;
  std::vector<double> rope_factors;  // [head_dim / 2], divisors of the frequencies; empty: rope_scaling applies
  std::optional<MoeDescription> moe;
  std::vector<LayerDescription> layers;
  std::optional<LayerDescription> mtp;
  bool tied_head = false;
  int max_positions = 0;
  std::vector<std::string> files;  // empty: the weights are made up, for measuring
  std::vector<TensorEntry> tensors;
  ModelPart part;
  KEXA_FIELDS(ModelDescription, vocab_size, hidden_size, heads, kv_heads, head_dim, norm_epsilon, norm_placement,
              qk_norm, rope_theta, rope_scaling, rope_factors, moe, layers, mtp, tied_head, max_positions, files,
              tensors, part)

  // The MTP block embeds too, and a tied head is the embedding.
  bool needs_embed() const { return part.has_start || mtp || tied_head; }
  bool is_post_norm() const { return norm_placement == NormPlacement::kPost; }
  bool is_synthetic() const { return files.empty(); }
  int q_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
  // The MTP block's layer, if there is one, comes after the model's own layers: its index is layers.size().
  int layer_count() const { return int(layers.size()) + (mtp ? 1 : 0); }
  int mtp_layer() const { return int(layers.size()); }
  const LayerDescription& layer(int index) const { return index == mtp_layer() ? *mtp : layers[index]; }
};

}  // namespace kexa
