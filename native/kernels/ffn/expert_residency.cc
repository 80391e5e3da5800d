#include "kernels/ffn/expert_residency.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "kernels/buffers/gpu_rows.h"

namespace kexa {
namespace {

constexpr int kRepeats = 3;
constexpr int kTimedRows = 16;

template <typename Run>
double best_nanoseconds(const Run& run) {
  double best = 0;
  for (int i = 0; i <= kRepeats; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begun;
    // The first run is not counted, because it may wait for the disk.
    if (i == 1 || (i > 1 && taken.count() < best)) best = taken.count();
  }
  return best;
}

}  // namespace

ExpertResidency::ExpertResidency(const Sources& from, ExpertSlots& slots, std::unique_ptr<HostExperts> host)
    : gpu_(from.kernels.gpu()),
      description_(from.description),
      weights_(from.weights),
      gpu_weights_(from.gpu_weights),
      activations_(from.activations),
      stride_(padded(description_.hidden_size)),
      top_k_(description_.moe->top_k),
      slots_(slots),
      host_(std::move(host)),
      pool_(from.plan.options.threads),
      has_dots_(from.plan.options.is_rounding) {
  pool_.demand(from.plan.options.threads);
  if (!host_) return;
  Prelude prelude = from.kernels.prelude();
  prelude.set("STRIDE", stride_);
  add_ = from.kernels.make("add_rows", prelude,
                           {read(activations_.host_outputs),
                            write(description_.is_post_norm() ? activations_.branch : activations_.residual)},
                           ceil_div(stride_ / 4, 64));
  if (from.plan.options.expert_misses != ExpertMisses::kAuto || slots_.slots() == 0) return;
  int layer = 0;
  while (layer < description_.layer_count() && !description_.layer(layer).is_moe()) ++layer;
  if (layer < description_.layer_count()) measure_costs(layer);
}

void ExpertResidency::measure_costs(int layer) {
  const int expert = slots_.in_slot(layer, 0);
  ExpertCosts costs;
  costs.copy = best_nanoseconds([&] {
    load(layer, {0, expert});
    // A read waits for the copy.
    std::byte word[4];
    gpu_.read(activations_.experts, word);
  });
  const auto compute = [&](int rows) {
    const std::vector<float> residual(size_t(rows) * stride_, 1.0f), weights(size_t(rows) * top_k_, 1.0f);
    std::vector<int> experts(size_t(rows) * top_k_, -1);
    for (int row = 0; row < rows; ++row) experts[size_t(row) * top_k_] = expert;
    std::vector<float> out(size_t(rows) * stride_);
    return best_nanoseconds([&] { host_->run(layer, residual, stride_, experts, weights, out); });
  };
  costs.compute = compute(1);
  costs.compute_more = std::max(0.0, (compute(kTimedRows) - costs.compute) / (kTimedRows - 1));
  slots_.set_costs(costs);
  traffic_ = {};
}

int64_t ExpertResidency::load_matrix(const Matrix& from, const GpuExperts& to, int slot, int64_t at) {
  const int64_t bytes = from.rows * gpu_row_bytes(from.stored(), from.columns);
  const Buffer& part = to.parts[size_t(slot / to.experts_per_part)];
  at += slot % to.experts_per_part * to.expert_bytes;
  if (is_stored_as_on_gpu(from)) {
    gpu_.write(part, uint64_t(at), {from.row(0), size_t(bytes)});
  } else {
    made_.resize(std::max(made_.size(), size_t(bytes)));
    make_gpu_rows(pool_, from, 0, from.rows, std::string(from.name), has_dots_, made_.data());
    gpu_.write(part, uint64_t(at), std::span(made_).first(size_t(bytes)));
  }
  return bytes;
}

void ExpertResidency::load(int layer, const ExpertSlots::Load& load) {
  const FfnWeights& from = weights_.layers[layer].experts[size_t(load.expert)];
  const GpuLayer& to = gpu_weights_.layers[layer];
  const int64_t gate_bytes = load_matrix(from.gate, to.routed_input, load.slot);
  traffic_.copied_bytes += gate_bytes + load_matrix(from.up, to.routed_input, load.slot, gate_bytes) +
                           load_matrix(from.down, to.routed_output, load.slot);
}

void ExpertResidency::run(const KernelSet& kernels, const Ffn& ffn, int layer, const StepRows& rows) {
  const size_t choices = size_t(rows.count) * top_k_, values = host_ ? size_t(rows.count) * stride_ : 0;
  handover_.resize(host_ ? choices * 2 + values : choices);
  const Buffer* read = &activations_.experts;
  if (host_) {
    // The processor needs the weights and the residual too. They come in the same readback as the choices.
    read = &activations_.handover;
    gpu_.copy(activations_.experts, 0, *read, 0, choices * 4);
    gpu_.copy(activations_.expert_weights, 0, *read, choices * 4, choices * 4);
    gpu_.copy(activations_.residual, 0, *read, choices * 8, values * 4);
  }
  gpu_.read(*read, std::as_writable_bytes(std::span(handover_)));
  const std::span<const int> experts(reinterpret_cast<const int*>(handover_.data()), choices);
  for (int expert : experts)
    if (expert < 0 || expert >= description_.moe->experts)
      throw Error("KEXA_INTERNAL", "the router chose expert " + std::to_string(expert));
  const float* floats = reinterpret_cast<const float*>(handover_.data());

  const ExpertSlots::Step step = slots_.place(layer, experts, !rows.is_large);
  traffic_ += step.traffic;
  for (size_t i = 0; i < step.waves.size(); ++i) {
    const ExpertSlots::Wave& wave = step.waves[i];
    // Work that was encoded before still reads the present slots and their table.
    gpu_.submit();
    for (const ExpertSlots::Load& load : wave.loads) this->load(layer, load);
    gpu_.write(activations_.slots, 0, std::as_bytes(std::span(wave.slots)));
    ffn.run_wave(kernels, rows, i + 1 == step.waves.size());
  }
  if (!step.on_host.empty()) {
    gpu_.submit();
    outputs_.resize(values);
    host_->run(layer, {floats + choices * 2, values}, stride_, step.on_host, {floats + choices, choices}, outputs_);
    gpu_.write(activations_.host_outputs, 0, std::as_bytes(std::span(outputs_)));
    kernels.run(add_, rows.count);
  }
  ffn.finish(kernels, rows);
}

}  // namespace kexa
