#include "cpu/cpu_experts.h"

#include "cpu/ffn.h"

namespace kexa {

void CpuExperts::run(int index, std::span<const float> residual, int stride, std::span<const int> experts,
                     std::span<const float> weights, std::span<float> out) {
  const LayerDescription& layer = description_.layer(index);
  const LayerWeights& from = weights_.layers[index];
  const size_t top_k = size_t(description_.moe->top_k), hidden = size_t(description_.hidden_size);
  const size_t rows = experts.size() / top_k, width = size_t(layer.ffn_width);
  const auto is_wanted = [&](int row) {
    for (size_t i = 0; i < top_k; ++i)
      if (experts[size_t(row) * top_k + i] >= 0) return true;
    return false;
  };
  const float* input = residual.data();
  size_t input_stride = size_t(stride);
  if (!description_.is_post_norm()) {
    normed_.resize(rows * hidden);
    pool_.run(int(rows), [&](int r, int) {
      if (is_wanted(r))
        normalize(&residual[size_t(r) * stride], from.ffn_norm, description_.norm_epsilon,
                  &normed_[size_t(r) * hidden]);
    });
    input = normed_.data();
    input_stride = hidden;
  }
  inner_.resize(rows * top_k * width);
  const std::vector<FfnGroup> groups = groups_by_expert(from.experts, experts, [&](FfnGroup& group, size_t at) {
    group.inputs.push_back(input + at / top_k * input_stride);
    group.inner.push_back(&inner_[at * width]);
    group.rows.push_back(int(at / top_k));
    group.scales.push_back(weights[at]);
  });
  run_groups(pool_, groups, layer.swiglu_limit, out.data(), int(rows), int(hidden), stride);
}

}  // namespace kexa
