// Feed-forward layers on the CPU device: dense SwiGLU, the router, and the experts.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "cpu/cpu_device.h"
#include "cpu/ffn.h"
#include "cpu/matmul.h"

namespace kexa {
namespace {

// silu(gate) * up. With a limit (K-EXAONE 2.0) gate is capped from above and up is clamped on both sides.
float swiglu(float gate, float up, float limit) {
  if (limit > 0) {
    gate = std::min(gate, limit);
    up = std::clamp(up, -limit, limit);
  }
  return gate / (1 + std::exp(-gate)) * up;
}

// A range of outputs of one group: the work of one task.
struct Piece {
  const FfnGroup* group;
  int first, end;
};

void gate_and_up(const Piece& piece, float limit) {
  const FfnGroup& group = *piece.group;
  float gates[kPanelOutputs * kPanelRows], ups[kPanelOutputs * kPanelRows];
  for (int first = piece.first; first < piece.end; first += kPanelOutputs) {
    const PanelOutputs outputs = panel_outputs(group.weights->gate.rows, first);
    for (int start = 0; start < int(group.inputs.size()); start += kPanelRows) {
      const int rows = std::min(kPanelRows, int(group.inputs.size()) - start);
      const RoundedBlock* const* rounded = group.rounded_inputs.empty() ? nullptr : &group.rounded_inputs[start];
      multiply_panel(group.weights->gate, outputs, &group.inputs[start], rounded, rows, gates);
      multiply_panel(group.weights->up, outputs, &group.inputs[start], rounded, rows, ups);
      for (int o = 0; o < kPanelOutputs; ++o) {
        if (outputs.row[o] < 0) continue;
        for (int r = 0; r < rows; ++r)
          group.inner[start + r][outputs.row[o]] = swiglu(gates[o * kPanelRows + r], ups[o * kPanelRows + r], limit);
      }
    }
  }
}

void add_down(const FfnGroup& group, int first, int end, float* branch, int stride) {
  float out[kPanelOutputs * kPanelRows];
  for (int at = first; at < end; at += kPanelOutputs) {
    const PanelOutputs outputs = panel_outputs(group.weights->down.rows, at);
    for (int start = 0; start < int(group.rows.size()); start += kPanelRows) {
      const int rows = std::min(kPanelRows, int(group.rows.size()) - start);
      multiply_panel(group.weights->down, outputs, const_cast<const float* const*>(&group.inner[start]),
                     group.rounded_inner.empty() ? nullptr : &group.rounded_inner[start], rows, out);
      for (int r = 0; r < rows; ++r)
        for (int o = 0; o < kPanelOutputs; ++o)
          if (outputs.row[o] >= 0)
            branch[size_t(group.rows[start + r]) * stride + outputs.row[o]] +=
                group.scales[start + r] * out[o * kPanelRows + r];
    }
  }
}

}  // namespace

void run_groups(ThreadPool& pool, const std::vector<FfnGroup>& groups, float limit, float* branch, int rows, int hidden,
                int stride) {
  std::vector<Piece> pieces;
  for (const FfnGroup& group : groups) {
    const int width = group.weights->gate.rows, per_task = outputs_per_task(2 * hidden);
    for (int first = 0; first < width; first += per_task)
      pieces.push_back({&group, first, std::min(width, first + per_task)});
  }
  pool.run(int(pieces.size()), [&](int task, int) { gate_and_up(pieces[task], limit); });

  std::vector<std::pair<const FfnGroup*, int>> to_round;  // a group and one of its rows
  for (const FfnGroup& group : groups)
    if (takes_rounded(group.weights->down.type))
      for (int i = 0; i < int(group.rounded_inner.size()); ++i) to_round.push_back({&group, i});
  pool.run(int(to_round.size()), [&](int task, int) {
    const auto& [group, i] = to_round[task];
    round_row(group->inner[i], group->weights->down.columns, group->rounded_inner[i]);
  });

  int inner_width = 0;  // of a row over all groups: the cost of an output
  for (const FfnGroup& group : groups) inner_width += group.weights->down.columns;
  const int per_task = outputs_per_task(inner_width);
  pool.run((hidden + per_task - 1) / per_task, [&](int task, int) {
    const int first = task * per_task, end = std::min(hidden, first + per_task);
    for (int at = first; at < end; at += kPanelOutputs)
      for (int output : panel_outputs(hidden, at).row)
        for (int r = 0; r < rows && output >= 0; ++r) branch[size_t(r) * stride + output] = 0;
    for (const FfnGroup& group : groups) add_down(group, first, end, branch, stride);
  });
}

void CpuDevice::dense_ffn(int layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const int hidden = description_.hidden_size, width = weights.dense.gate.rows;
  const float* input = branch_input(weights.ffn_norm);
  const RoundedRows* rounded_input = rounded({&weights.dense.gate, &weights.dense.up}, input, rows_, hidden);
  FfnGroup all{.weights = &weights.dense};
  for (int r = 0; r < rows_; ++r) {
    all.inputs.push_back(input + size_t(r) * hidden);
    all.inner.push_back(&inner_[size_t(r) * width]);
    if (rounded_input) all.rounded_inputs.push_back(rounded_input->row(r));
    if (is_rounding_) all.rounded_inner.push_back(&rounded_inner_[size_t(r) * rounded_blocks(width)]);
    all.rows.push_back(r);
    all.scales.push_back(1);
  }
  run_groups(pool_, {all}, description_.layer(layer).swiglu_limit, branch_.data(), rows_, hidden, hidden);
  add_branch(weights.ffn_norm);
}

// Adds the bias only for choosing. The weights are the scores without it.
void CpuDevice::choose_experts(const std::vector<float>& bias, int row) {
  const MoeDescription& moe = *description_.moe;
  float* scores = &router_[size_t(row) * moe.experts];
  std::vector<float> biased(moe.experts);
  for (int e = 0; e < moe.experts; ++e) {
    scores[e] = 1 / (1 + std::exp(-scores[e]));
    biased[e] = scores[e] + bias[e];
  }

  // Experts may come only from the groups whose two best biased scores have the largest sums.
  if (moe.kept_groups < moe.groups) {
    const int size = moe.experts / moe.groups;
    std::vector<float> best_two(moe.groups);
    for (int g = 0; g < moe.groups; ++g) {
      std::vector<float> group(biased.begin() + g * size, biased.begin() + (g + 1) * size);
      std::partial_sort(group.begin(), group.begin() + std::min(2, size), group.end(), std::greater<>());
      best_two[g] = group[0] + (size > 1 ? group[1] : 0);
    }
    std::vector<int> order(moe.groups);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return best_two[a] > best_two[b]; });
    for (int i = moe.kept_groups; i < moe.groups; ++i) std::fill_n(biased.begin() + order[i] * size, size, -INFINITY);
  }

  // The lowest id wins ties.
  std::vector<int> order(moe.experts);
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + moe.top_k, order.end(),
                    [&](int a, int b) { return biased[a] != biased[b] ? biased[a] > biased[b] : a < b; });
  float sum = 0;
  for (int i = 0; i < moe.top_k; ++i) sum += scores[order[i]];
  const float factor = moe.normalize ? moe.scale / (sum + 1e-20f) : moe.scale;
  for (int i = 0; i < moe.top_k; ++i) {
    routed_[size_t(row) * moe.top_k + i] = order[i];
    routed_weights_[size_t(row) * moe.top_k + i] = scores[order[i]] * factor;
  }
}

void CpuDevice::route(int layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const float* input = branch_input(weights.ffn_norm);
  multiply(pool_, weights.router, {input, description_.hidden_size}, {router_.data(), description_.moe->experts},
           rows_);
  pool_.run(rows_, [&](int r, int) { choose_experts(weights.router_bias, r); });
}

void CpuDevice::experts(int layer) {
  const LayerWeights& weights = weights_.layers[layer];
  const MoeDescription& moe = *description_.moe;
  const LayerDescription& switches = description_.layer(layer);
  const int hidden = description_.hidden_size, width = switches.ffn_width, shared_width = moe.shared_experts * width;
  const size_t row_width = size_t(moe.top_k) * width + shared_width;
  // route() has left the normed rows in normed_. A post-norm model reads the residual itself.
  const float* input = description_.is_post_norm() ? residual_.data() : normed_.data();

  // The experts of a layer may have different types.
  std::vector<const Matrix*> readers;
  if (is_rounding_) {
    for (const FfnWeights& expert : weights.experts) readers.insert(readers.end(), {&expert.gate, &expert.up});
    if (shared_width) readers.insert(readers.end(), {&weights.shared.gate, &weights.shared.up});
  }
  const RoundedRows* rounded_input = rounded(readers, input, rows_, hidden);
  const size_t blocks = rounded_blocks(width),
               row_blocks = moe.top_k * blocks + (shared_width ? rounded_blocks(shared_width) : 0);

  // Gathers rows by expert, so that a step reads each expert's weights once.
  std::vector<FfnGroup> groups = groups_by_expert(weights.experts, route_experts(), [&](FfnGroup& group, size_t at) {
    const int r = int(at) / moe.top_k, i = int(at) % moe.top_k;
    group.inputs.push_back(input + size_t(r) * hidden);
    group.inner.push_back(&inner_[r * row_width + size_t(i) * width]);
    if (rounded_input) group.rounded_inputs.push_back(rounded_input->row(r));
    if (is_rounding_) group.rounded_inner.push_back(&rounded_inner_[r * row_blocks + i * blocks]);
    group.rows.push_back(r);
    group.scales.push_back(routed_weights_[at]);
  });
  if (shared_width) {
    FfnGroup shared{.weights = &weights.shared};
    for (int r = 0; r < rows_; ++r) {
      shared.inputs.push_back(input + size_t(r) * hidden);
      shared.inner.push_back(&inner_[r * row_width + size_t(moe.top_k) * width]);
      if (rounded_input) shared.rounded_inputs.push_back(rounded_input->row(r));
      if (is_rounding_) shared.rounded_inner.push_back(&rounded_inner_[r * row_blocks + moe.top_k * blocks]);
      shared.rows.push_back(r);
      shared.scales.push_back(1);
    }
    groups.push_back(std::move(shared));
  }
  run_groups(pool_, groups, switches.swiglu_limit, branch_.data(), rows_, hidden, hidden);
  add_branch(weights.ffn_norm);
}

}  // namespace kexa
