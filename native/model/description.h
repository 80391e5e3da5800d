// What is known of a model before its weights are mapped. Mirrors lib/description.ts, which checked every field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/numbers.h"

namespace kexa {

// Where the scales of an f8_e4m3 matrix are stored: a grid, of which only the part that the matrix needs is read.
struct ScaleEntry {
  std::string name;    // as the file has it
  int file = 0;        // index into ModelDescription::files
  int64_t offset = 0;  // of the first one needed, from the start of the file
  Type type = Type::kF32;
  int block_rows = 1, block_columns = 1, skipped_rows = 0;  // as in ScaleGrid

  int64_t grid_rows(int64_t rows) const { return (skipped_rows + rows + block_rows - 1) / block_rows; }
  int64_t grid_columns(int64_t columns) const { return (columns + block_columns - 1) / block_columns; }
};

struct TensorEntry {
  std::string name;    // the core's own name: see TensorEntry in lib/description.ts
  int file = 0;        // index into ModelDescription::files
  int64_t offset = 0;  // from the start of the file
  int64_t bytes = 0;
  Type type = Type::kBf16;
  std::optional<Type> held;          // stored anew as this when loaded; nullopt: as the plan has it for all
  std::vector<int64_t> shape;        // row-major, [outputs, inputs]
  std::optional<ScaleEntry> scales;  // of an f8_e4m3 matrix

  bool is_routed_expert() const { return name.find(".experts.") != std::string::npos; }
  // Of the scales, as floats; 0 where there are none.
  int64_t scale_bytes() const {
    return scales ? scales->grid_rows(shape[0]) * scales->grid_columns(shape[1]) * int64_t(sizeof(float)) : 0;
  }
};

struct LayerDescription {
  int window = 0;  // keys a query sees, itself included; 0 is global
  bool has_rope = false;
  bool is_moe = false;
  int ffn_width = 0;       // of the dense FFN, or of one routed expert
  float swiglu_limit = 0;  // 0 is off
};

struct MoeDescription {
  int experts = 0, top_k = 0;
  int groups = 1, kept_groups = 1;
  int shared_experts = 0;
  bool is_normalized = true;
  float scale = 1;
};

struct RopeScaling {
  double factor = 1, low_freq_factor = 1, high_freq_factor = 1;
  double original_max_positions = 0;
};

// Devices that share a model each know a part of it: a description whose `layers`, `mtp` and `tensors` are its own.
struct ModelDescription {
  int vocab = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
  float norm_epsilon = 0;
  bool is_post_norm = false;
  double rope_theta = 0;
  std::optional<RopeScaling> rope_scaling;
  std::vector<double> rope_factors;  // [head_dim / 2], what frequencies are divided by; none: as rope_scaling says
  std::optional<MoeDescription> moe;
  std::vector<LayerDescription> layers;
  std::optional<LayerDescription> mtp;
  bool has_tied_head = false;
  int max_positions = 0;
  std::vector<std::string> files;  // none: the weights are made up, for measuring
  std::vector<TensorEntry> tensors;
  int first_layer = 0;    // layers[0]'s index in the whole model; tensors are named by it
  bool has_start = true;  // embeds tokens
  bool has_end = true;    // has the final norm, the head, and the MTP block if there is one

  // The MTP block embeds too, and a tied head is the embedding.
  bool needs_embed() const { return has_start || mtp || has_tied_head; }
  bool is_synthetic() const { return files.empty(); }
  int q_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
  // The MTP block's layer, where there is one, follows the model's own as index layers.size().
  int layer_count() const { return int(layers.size()) + (mtp ? 1 : 0); }
  int mtp_layer() const { return int(layers.size()); }
  const LayerDescription& layer(int index) const { return index == mtp_layer() ? *mtp : layers[index]; }
};

}  // namespace kexa
