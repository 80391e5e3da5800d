#include "reference/cpu_rates.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "base/numbers.h"
#include "base/thread_pool.h"
#include "files/mapped_file.h"

namespace kexa {
namespace {

// Of each of two buffers: more than any cache holds, or nearly.
constexpr size_t kBytes = 256 << 20;
constexpr int kPieces = 64;
constexpr int kRepeats = 5;
constexpr int kChains = 8;
constexpr int kProducts = 20000;  // of each chain

double best_seconds(const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= kRepeats; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
    // The first run touches the memory.
    if (i > 0) best = std::min(best, taken.count());
  }
  return best;
}

KEXA_HOT float sum_all(const float* from, size_t count) {
  F32x16 sums[4] = {};
  for (size_t i = 0; i + 4 * kLanes <= count; i += 4 * kLanes)
    for (int k = 0; k < 4; ++k) {
      F32x16 lanes;
      load(lanes, from + i + size_t(k) * kLanes);
      sums[k] += lanes;
    }
  return sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Chains that wait for nothing but themselves: a core always has another to go on with.
KEXA_HOT float multiply_chains(float factor) {
  F32x16 chains[kChains], a;
  for (int lane = 0; lane < kLanes; ++lane) a[lane] = factor;
  for (int k = 0; k < kChains; ++k) chains[k] = a * float(k);
  for (int i = 0; i < kProducts; ++i)
    for (int k = 0; k < kChains; ++k) chains[k] = chains[k] * a + a;
  float sum = 0;
  for (int k = 0; k < kChains; ++k) sum += sum_lanes(chains[k]);
  return sum;
}

}  // namespace

DeviceRates measure_cpu_rates(int threads) {
  ThreadPool pool(threads);
  const LazyMemory from(kBytes, "buffers for measuring"), to(kBytes, "buffers for measuring");
  std::memset(from.data(), 0, kBytes);
  const size_t piece = kBytes / kPieces;
  std::vector<float> sums(kPieces);
  DeviceRates rates;
  rates.copy = 2 * double(kBytes) / best_seconds([&] {
                 pool.run(kPieces,
                          [&](int i, int) { std::memcpy(to.data() + i * piece, from.data() + i * piece, piece); });
               });
  rates.read = double(kBytes) / best_seconds([&] {
                 pool.run(kPieces, [&](int i, int) {
                   sums[i] = sum_all(reinterpret_cast<const float*>(from.data() + i * piece), piece / sizeof(float));
                 });
               });
  rates.f32 = double(kPieces) * kProducts * kChains * kLanes * 2 / best_seconds([&] {
                // A factor that the compiler does not know, near enough to 1 for sums to stay finite.
                pool.run(kPieces, [&](int i, int) { sums[i] = multiply_chains(0.5f + sums[i] * 0); });
              });
  return rates;
}

}  // namespace kexa
