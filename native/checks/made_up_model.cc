#include "checks/made_up_model.h"

namespace kexa {
namespace {

class Maker {
 public:
  explicit Maker(ModelDescription& to) : to_(to) {}

  void add(const std::string& name, std::vector<int64_t> shape) {
    int64_t elements = 1;
    for (int64_t size : shape) elements *= size;
    to_.tensors.push_back({.name = name,
                           .bytes = bytes_of(Type::kBf16, elements),
                           .type = Type::kBf16,
                           .held = {},
                           .shape = std::move(shape),
                           .scales = {}});
  }

  void add_ffn(const std::string& prefix, int64_t width) {
    add(prefix + "gate", {width, to_.hidden_size});
    add(prefix + "up", {width, to_.hidden_size});
    add(prefix + "down", {to_.hidden_size, width});
  }

  void add_layer(const std::string& prefix, const LayerDescription& layer) {
    add(prefix + "attention_norm", {to_.hidden_size});
    add(prefix + "ffn_norm", {to_.hidden_size});
    add(prefix + "q", {to_.q_width(), to_.hidden_size});
    add(prefix + "k", {to_.kv_width(), to_.hidden_size});
    add(prefix + "v", {to_.kv_width(), to_.hidden_size});
    add(prefix + "o", {to_.hidden_size, to_.q_width()});
    add(prefix + "q_norm", {to_.head_dim});
    add(prefix + "k_norm", {to_.head_dim});
    if (!layer.is_moe()) return add_ffn(prefix, layer.ffn_width);
    add(prefix + "router", {to_.moe->experts, to_.hidden_size});
    add(prefix + "router_bias", {to_.moe->experts});
    for (int e = 0; e < to_.moe->experts; ++e) add_ffn(prefix + "experts." + std::to_string(e) + ".", layer.ffn_width);
    add_ffn(prefix + "shared.", layer.ffn_width * to_.moe->shared_experts);
  }

 private:
  ModelDescription& to_;
};

}  // namespace

ModelDescription made_up_model() {
  ModelDescription model;
  model.vocab_size = 300, model.hidden_size = 32, model.heads = 4, model.kv_heads = 2, model.head_dim = 8;
  model.norm_epsilon = 1e-5f;
  model.rope_theta = 10000;
  model.moe = {.experts = 4, .top_k = 2, .groups = 1, .kept_groups = 1, .shared_experts = 1};
  model.max_positions = 4096;
  for (int i = 0; i < 8; ++i)
    model.layers.push_back({.window = i % 3 == 2 ? 0 : 5,
                            .rope = i % 3 != 2,
                            .ffn = i % 2 ? FfnKind::kMoe : FfnKind::kDense,
                            .ffn_width = 16});
  model.mtp = {.window = 5, .rope = true, .ffn = FfnKind::kDense, .ffn_width = 16};
  Maker maker(model);
  maker.add("embed", {model.vocab_size, model.hidden_size});
  maker.add("head", {model.vocab_size, model.hidden_size});
  maker.add("norm", {model.hidden_size});
  for (size_t i = 0; i < model.layers.size(); ++i)
    maker.add_layer("layers." + std::to_string(i) + ".", model.layers[i]);
  maker.add("mtp.embedding_norm", {model.hidden_size});
  maker.add("mtp.hidden_norm", {model.hidden_size});
  maker.add("mtp.fc", {model.hidden_size, 2 * model.hidden_size});
  maker.add("mtp.norm", {model.hidden_size});
  maker.add_layer("mtp.layer.", *model.mtp);
  return model;
}

}  // namespace kexa
