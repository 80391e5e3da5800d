#include "cpu/cpu_rates.h"

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

// Bytes of each of two buffers: more than nearly any cache.
constexpr size_t kBytes = 256 << 20;
constexpr int kPieces = 64;
constexpr int kRepeats = 5;
constexpr int kChains = 10;
constexpr int kProducts = 20000;  // in each chain

double best_seconds(const std::function<void()>& run) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= kRepeats; ++i) {
    const auto begun = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
    // The first run is not counted, because it touches the memory for the first time.
    if (i > 0) best = std::min(best, taken.count());
  }
  return best;
}

// Vectors no wider than the processor's. GCC keeps wider ones in memory, where a chain waits for its own store.
#if defined(__x86_64__)
typedef float Lanes __attribute__((vector_size(32)));
#else
typedef float Lanes __attribute__((vector_size(16)));
#endif

KEXA_HOT float sum_all(const float* from, size_t count) {
  constexpr size_t kWidth = sizeof(Lanes) / sizeof(float), kSums = 8;
  Lanes sums[kSums] = {};
  for (size_t i = 0; i + kSums * kWidth <= count; i += kSums * kWidth)
    for (size_t k = 0; k < kSums; ++k) {
      Lanes lanes;
      std::memcpy(&lanes, from + i + k * kWidth, sizeof lanes);
      sums[k] += lanes;
    }
  float sum = 0;
  for (const Lanes& lanes : sums) sum += lanes[0];
  return sum;
}

// Multiplies in independent chains, so that a core always has one to go on with.
template <typename Vector>
KEXA_INLINE float multiply_chains(float factor) {
  constexpr int kWidth = int(sizeof(Vector) / sizeof(float));
  Vector chains[kChains], a;
  for (int lane = 0; lane < kWidth; ++lane) a[lane] = factor;
  for (int k = 0; k < kChains; ++k) chains[k] = a * float(k);
  for (int i = 0; i < kProducts; ++i)
    for (int k = 0; k < kChains; ++k) chains[k] = chains[k] * a + a;
  float sum = 0;
  for (int k = 0; k < kChains; ++k) sum += chains[k][0];
  return sum;
}

KEXA_HOT float multiply_lanes(float factor) { return multiply_chains<Lanes>(factor); }

struct Multiply {
  float (*run)(float);
  int width;  // floats in a vector
};

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx512f"))) float multiply_wide(float factor) { return multiply_chains<F32x16>(factor); }

Multiply widest_multiply() {
  if (__builtin_cpu_supports("avx512f")) return {multiply_wide, kLanes};
  return {multiply_lanes, int(sizeof(Lanes) / sizeof(float))};
}
#else
Multiply widest_multiply() { return {multiply_lanes, int(sizeof(Lanes) / sizeof(float))}; }
#endif

}  // namespace

DeviceRates measure_cpu_rates(int threads) {
  ThreadPool pool(threads);
  const LazyMemory from(kBytes, "buffers for measuring"), to(kBytes, "buffers for measuring");
  std::memset(from.data(), 0, kBytes);
  const size_t piece = kBytes / kPieces;
  std::vector<float> sums(kPieces);
  DeviceRates rates;
  rates.copy =
      2 * double(kBytes) / best_seconds([&] {
        pool.run(kPieces, [&](int i, int) { std::memcpy(to.data() + i * piece, from.data() + i * piece, piece); });
      });
  rates.read = double(kBytes) / best_seconds([&] {
                 pool.run(kPieces, [&](int i, int) {
                   sums[i] = sum_all(reinterpret_cast<const float*>(from.data() + i * piece), piece / sizeof(float));
                 });
               });
  const Multiply multiply = widest_multiply();
  rates.f32 = double(kPieces) * kProducts * kChains * multiply.width * 2 / best_seconds([&] {
                // A factor that the compiler does not know, near enough to 1 that sums stay finite.
                pool.run(kPieces, [&](int i, int) { sums[i] = multiply.run(0.5f + sums[i] * 0); });
              });
  return rates;
}

}  // namespace kexa
