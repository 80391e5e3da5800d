#include "kernels/gpu_rates.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>

#include "kernels/buffers/kernel_set.h"

namespace kexa {
namespace {

constexpr int kChains = 8;
constexpr uint32_t kThreads = 256;
constexpr uint32_t kMultipliers = 4;  // subgroups of a workgroup that multiply matrices

bool is_slow(const AdapterFacts& facts) { return facts.is_software || facts.backend == "null"; }

struct Work {
  uint64_t bytes;     // of each of two buffers
  uint32_t products;  // in each chain
  int repeats;
  int runs;  // in one submit, so that the cost of a submit is small beside them
};

// Software GPUs and Dawn's Null backend get little work: as much as others get would take them a minute.
Work work_of(const AdapterFacts& facts) {
  Work work = is_slow(facts) ? Work{16 << 20, 16, 2, 1} : Work{1 << 30, 4096, 5, 8};
  work.bytes = std::min({work.bytes, facts.max_buffer_bytes, facts.max_binding_bytes}) / 256 * 256;
  return work;
}

// Seconds of one run, the best of several.
double best_seconds(Gpu& gpu, const Work& work, const Buffer& any, const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= work.repeats; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    for (int k = 0; k < work.runs; ++k) run();
    std::byte result[4];
    gpu.take(gpu.read_later(any, 0, sizeof result), result);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
    // The first repetition also pays for memory and pipeline.
    if (i > 0) best = std::min(best, taken.count() / work.runs);
  }
  return best;
}

}  // namespace

DeviceRates measure_gpu_rates(Gpu& gpu) {
  const AdapterFacts& facts = gpu.facts();
  const Work work = work_of(facts);
  const uint64_t bytes = work.bytes;
  const uint32_t products = work.products;
  Buffer from = gpu.create_buffer("rates: read", bytes, is_slow(facts));
  Buffer to = gpu.create_buffer("rates: written", bytes);
  KernelSet kernels(gpu, {}, {.slots = 1, .max_rows = 1});
  DeviceRates rates;
  rates.copy = 2 * double(bytes) / best_seconds(gpu, work, to, [&] { gpu.copy(from, 0, to, 0, bytes); });

  const uint32_t workgroups = uint32_t(std::min<uint64_t>(4096, bytes / 16 / kThreads));
  Prelude prelude = kernels.prelude();
  prelude.set("THREADS", kThreads).set("COUNT", products);
  const BoundKernel read_all = kernels.make("rate_read", prelude, {read(from), write(to)}, workgroups);
  rates.read = double(bytes) / best_seconds(gpu, work, to, [&] { kernels.run(read_all, 1); });
  const BoundKernel multiply = kernels.make("rate_multiply", prelude, {read(from), write(to)}, workgroups);
  rates.f32 = double(workgroups) * kThreads * products * kChains * 4 * 2 /
              best_seconds(gpu, work, to, [&] { kernels.run(multiply, 1); });

  const std::optional<MatrixKernels> matrices =
      facts.has_subgroup_matrices && facts.has_subgroups && facts.has_f16 ? matrices_of(facts) : std::nullopt;
  if (matrices) {
    const auto [m, n, k, threads] = *matrices;
    const uint64_t group_bytes = uint64_t(kMultipliers) * kChains * m * n * 4;
    const uint32_t groups = uint32_t(std::min<uint64_t>(4096, bytes / group_bytes));
    Prelude matrix = kernels.prelude();
    matrix.enable("f16")
        .enable("subgroups")
        .enable("chromium_experimental_subgroup_matrix")
        .set("THREADS", threads)
        .set("COUNT", products)
        .set("MULTIPLIERS", kMultipliers)
        .set("MATRIX_M", m)
        .set("MATRIX_N", n)
        .set("MATRIX_K", k);
    const BoundKernel multiply_matrices = kernels.make("rate_matrices", matrix, {read(from), write(to)}, groups);
    rates.matrices = double(groups) * kMultipliers * products * kChains * 2 * m * n * k /
                     best_seconds(gpu, work, to, [&] { kernels.run(multiply_matrices, 1); });
    rates.matrix_shape = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  }
  gpu.check();
  gpu.destroy(std::move(from));
  gpu.destroy(std::move(to));
  return rates;
}

}  // namespace kexa
