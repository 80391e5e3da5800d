// Converts the description of a model, from lib/description.ts.
#include "addon/convert.h"
#include "addon/fields.h"

namespace kexa {
namespace {

LayerDescription to_layer(const Napi::Object& from) {
  return {.window = integer(from, "window"),
          .has_rope = boolean(from, "rope"),
          .is_moe = text(from, "ffn") == "moe",
          .ffn_width = integer(from, "ffnWidth"),
          .swiglu_limit = float(number(from, "swigluLimit"))};
}

ScaleEntry to_scales(const Napi::Object& from) {
  return {.name = text(from, "name"),
          .file = integer(from, "file"),
          .offset = count(from, "offset"),
          .type = to_type(text(from, "type")),
          .block_rows = integer(from, "blockRows"),
          .block_columns = integer(from, "blockColumns"),
          .skipped_rows = integer(from, "skippedRows")};
}

TensorEntry to_tensor(const Napi::Object& from) {
  TensorEntry tensor{.name = text(from, "name"),
                     .file = integer(from, "file"),
                     .offset = count(from, "offset"),
                     .bytes = count(from, "bytes"),
                     .type = to_type(text(from, "type")),
                     .held = from.Has("held") ? std::optional(to_type(text(from, "held"))) : std::nullopt,
                     .shape = {},
                     .scales = {}};
  if (from.Has("scales")) tensor.scales = to_scales(from.Get("scales").As<Napi::Object>());
  const auto shape = member(from, "shape").As<Napi::Array>();
  for (uint32_t i = 0; i < shape.Length(); ++i) tensor.shape.push_back(to_count(shape.Get(i), "shape"));
  return tensor;
}

}  // namespace

ModelDescription to_description(const Napi::Object& from) {
  ModelDescription to;
  to.vocab = integer(from, "vocabSize");
  to.hidden = integer(from, "hiddenSize");
  to.heads = integer(from, "heads");
  to.kv_heads = integer(from, "kvHeads");
  to.head_dim = integer(from, "headDim");
  to.norm_epsilon = float(number(from, "normEpsilon"));
  to.is_post_norm = text(from, "normPlacement") == "post";
  to.rope_theta = number(from, "ropeTheta");
  if (const auto scaling = member(from, "ropeScaling"); !scaling.IsNull()) {
    const auto object = scaling.As<Napi::Object>();
    to.rope_scaling = {.factor = number(object, "factor"),
                       .low_freq_factor = number(object, "lowFreqFactor"),
                       .high_freq_factor = number(object, "highFreqFactor"),
                       .original_max_positions = number(object, "originalMaxPositions")};
  }
  if (const auto factors = member(from, "ropeFactors"); !factors.IsNull()) {
    const auto list = factors.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) to.rope_factors.push_back(list.Get(i).ToNumber());
  }
  if (const auto moe = member(from, "moe"); !moe.IsNull()) {
    const auto object = moe.As<Napi::Object>();
    to.moe = {.experts = integer(object, "experts"),
              .top_k = integer(object, "topK"),
              .groups = integer(object, "groups"),
              .kept_groups = integer(object, "keptGroups"),
              .shared_experts = integer(object, "sharedExperts"),
              .is_normalized = boolean(object, "normalize"),
              .scale = float(number(object, "scale"))};
  }
  const auto layers = member(from, "layers").As<Napi::Array>();
  for (uint32_t i = 0; i < layers.Length(); ++i) to.layers.push_back(to_layer(layers.Get(i).As<Napi::Object>()));
  if (const auto mtp = member(from, "mtp"); !mtp.IsNull()) to.mtp = to_layer(mtp.As<Napi::Object>());
  to.has_tied_head = boolean(from, "tiedHead");
  to.max_positions = integer(from, "maxPositions");
  const auto files = member(from, "files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); ++i) to.files.push_back(files.Get(i).ToString());
  const auto tensors = member(from, "tensors").As<Napi::Array>();
  for (uint32_t i = 0; i < tensors.Length(); ++i) {
    Napi::HandleScope scope(from.Env());  // the real model has eighteen thousand
    to.tensors.push_back(to_tensor(tensors.Get(i).As<Napi::Object>()));
  }
  return to;
}

}  // namespace kexa
