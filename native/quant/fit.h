// The searches for a block's scales. Each tries candidates, improves each by a least-squares step, and keeps the one
// with the least error.
//
// The code works on 16 values at a time and is always inlined into loops that are compiled for several instruction
// sets. Sums have one order, so every machine finds the same scales.
#pragma once

#include <algorithm>
#include <cmath>

#include "base/numbers.h"

namespace kexa::fit {

// A candidate must be better by more than rounding. Where two are equal the first stays, so the values read back from a
// block give the same block again.
constexpr float kMargin = 0x1p-16f;

// The smallest value that f16 tells from zero. Blocks of smaller values become zero.
constexpr float kLeastMagnitude = 0x1p-25f;

// GCC compares vectors that are wider than a register lane by lane, and keeps them in memory.
#if defined(__x86_64__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
#include "base/lanes16.h"
using Wide = F32x16;

KEXA_INLINE Wide lesser(const Wide& a, const Wide& b) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return a.part[i] < b.part[i] ? a.part[i] : b.part[i]; });
}
// Returns `value` where x is above `limit`, else the lane of `otherwise`.
KEXA_INLINE Wide where_above(const Wide& x, float limit, float value, const Wide& otherwise) {
  return by_parts([&](int i) KEXA_INLINE_CALL { return x.part[i] > limit ? value - Part{} : otherwise.part[i]; });
}

// Adds in the order of sum_lanes() in base/numbers.h.
KEXA_INLINE float sum_lanes(const Wide& x) {
  float part[kLanes];
  store(part, x);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) part[i] += part[i + width];
  return part[0];
}

KEXA_INLINE Wide splat(float value) {
  return by_parts([&](int) KEXA_INLINE_CALL { return value - Part{}; });
}

// Rounds to the nearest whole number, for magnitudes below 2^22.
KEXA_INLINE Wide rounded(const Wide& x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

KEXA_INLINE Wide clamped(const Wide& x, float low, float high) {
  return by_parts([&](int i) KEXA_INLINE_CALL {
    const Part least = low - Part{}, most = high - Part{};
    const Part raised = x.part[i] < least ? least : x.part[i];
    return raised > most ? most : raised;
  });
}

template <int V>
KEXA_INLINE float product(const Wide* a, const Wide* b) {
  Wide sum = a[0] * b[0];
  for (int i = 1; i < V; ++i) sum += a[i] * b[i];
  return sum_lanes(sum);
}

template <int V>
KEXA_INLINE float sum(const Wide* a) {
  Wide total = a[0];
  for (int i = 1; i < V; ++i) total += a[i];
  return sum_lanes(total);
}

template <int V>
KEXA_INLINE float least(const Wide* x) {
  Wide low = x[0];
  for (int i = 1; i < V; ++i) low = lesser(x[i], low);
  float part[kLanes];
  store(part, low);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) part[i] = part[i + width] < part[i] ? part[i + width] : part[i];
  return part[0];
}

template <int V>
KEXA_INLINE float most(const Wide* x) {
  Wide negative[V];
  for (int i = 0; i < V; ++i) negative[i] = -x[i];
  return -least<V>(negative);
}

// Returns the value of largest magnitude, with its sign.
template <int V>
KEXA_INLINE float largest(const Wide* x) {
  const float low = least<V>(x), high = most<V>(x);
  return -low > high ? low : high;
}

KEXA_INLINE float through_f16(float value) { return f16_to_f32(f32_to_f16(value)); }

// Whole numbers from -kLow to kHigh. each_top() tries the levels that the value of largest magnitude may become: every
// level that the search may leave there, and some beyond the ends, which rounding cuts off.
template <int kLow, int kHigh>
struct WholeLevels {
  static constexpr float kFarthest = -kLow;
  static constexpr float kLeastTop = kHigh >= 127 ? 125 : kHigh >= 31 ? 28 : kHigh >= 15 ? 12 : kHigh - 2;
  KEXA_INLINE static Wide nearest(Wide x) { return rounded(clamped(x, -kLow, kHigh)); }
  template <typename Try>
  KEXA_INLINE static void each_top(const Try& attempt) {
    if constexpr (kLow > kHigh) attempt(float(-kLow));
    // With many levels, parts of a level are worth trying.
    constexpr float kStep = kHigh >= 127 ? 0.25f : 1;
    for (float top = kHigh; top >= kLeastTop; top -= kStep) {
      attempt(top);
      if constexpr (kLow > kHigh) attempt(-top);
    }
    if constexpr (kHigh <= 31)
      for (float more = 0.25f; more <= 1.5f; more += 0.25f) attempt(-kLow - more);
  }
};

// The sixteen levels of iq4_nl and iq4_xs, denser around zero.
struct NormalLevels {
  static constexpr int kCount = 16;
  static constexpr int kValues[kCount] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
  static constexpr float kFarthest = -127;
  static constexpr float kLeastTop = 89;
  KEXA_INLINE static Wide nearest(Wide x) {
    Wide value = splat(kValues[0]);
#pragma GCC unroll 16
    for (int i = 1; i < kCount; ++i) value = where_above(x, (kValues[i - 1] + kValues[i]) * 0.5f, kValues[i], value);
    return value;
  }
  template <typename Try>
  KEXA_INLINE static void each_top(const Try& attempt) {
    for (float top : {-127.f, 113.f, -104.f, 89.f, -121.f, 107.f, -115.f, 100.f, -98.f, -134.f, 120.f, -142.f, 128.f})
      attempt(top);
  }
};

// Finds x = scale * q with q from `Levels`. Returns the scale and fills q. With `kIsF16` the scale is a number of f16.
template <int V, typename Levels, bool kIsF16>
KEXA_INLINE float signed_scale(const Wide* x, Wide* q) {
  const float peak = largest<V>(x);
  const float energy = product<V>(x, x);
  float best_error = INFINITY, best = 0;
  for (int i = 0; i < V; ++i) q[i] = Wide{};
  if (std::fabs(peak) < kLeastMagnitude) return 0;
  Wide trial[V];
  const auto attempt = [&](float top) __attribute__((always_inline)) {
    float inverse = top / peak, scale = 0;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < V; ++i) trial[i] = Levels::nearest(x[i] * inverse);
      if (round == 1) break;
      scale = product<V>(x, trial) / std::max(product<V>(trial, trial), 1.0f);
      if (kIsF16) scale = through_f16(scale);
      if (scale == 0) return;
      inverse = 1 / scale;
    }
    if (std::fabs(largest<V>(trial)) < Levels::kLeastTop) return;
    Wide off[V];
    for (int i = 0; i < V; ++i) off[i] = x[i] - trial[i] * scale;
    const float error = product<V>(off, off);
    if (!(error < best_error - energy * kMargin * kMargin)) return;
    best_error = error, best = scale;
    for (int i = 0; i < V; ++i) q[i] = trial[i];
  };
  Levels::each_top(attempt);
  return best;
}

// A block of 256 as runs of 16 * V: x = (scale * run_scale) * q.
template <int V>
struct SignedBlock {
  static constexpr int kRuns = 16 / V;
  float scale;
  float run_scale[kRuns];  // whole numbers
  Wide q[16];
};

// Run scales are whole numbers from -kFarthest to kFarthest - 1.
template <int V, typename Levels, int kFarthest>
KEXA_INLINE void fit_signed_block(const Wide* x, SignedBlock<V>& block) {
  constexpr int kRuns = SignedBlock<V>::kRuns;
  constexpr int kRounds = 3;
  Wide trial[V], off[V];
  float wanted[kRuns], peak = 0;
  for (int r = 0; r < kRuns; ++r) {
    wanted[r] = signed_scale<V, Levels, false>(x + r * V, trial);
    if (std::fabs(wanted[r]) > std::fabs(peak)) peak = wanted[r];
  }
  float scale = through_f16(peak / -kFarthest), best_error = INFINITY;
  block = {};
  for (int round = 0; round < kRounds && scale != 0; ++round) {
    SignedBlock<V> next;
    next.scale = scale;
    float error = 0, along = 0, square = 0;
    for (int r = 0; r < kRuns; ++r) {
      const Wide* run = x + r * V;
      const float middle = std::clamp(std::nearbyint(wanted[r] / scale), -float(kFarthest), float(kFarthest - 1));
      float run_error = INFINITY;
      for (float step : {0.f, -1.f, 1.f}) {
        const float run_scale = std::clamp(middle + step, -float(kFarthest), float(kFarthest - 1));
        const float whole = scale * run_scale, inverse = whole == 0 ? 0 : 1 / whole;
        for (int i = 0; i < V; ++i) trial[i] = Levels::nearest(run[i] * inverse), off[i] = run[i] - trial[i] * whole;
        const float found = product<V>(off, off);
        if (!(found < run_error)) continue;
        run_error = found;
        next.run_scale[r] = run_scale;
        for (int i = 0; i < V; ++i) next.q[r * V + i] = trial[i];
      }
      error += run_error;
      const float a = next.run_scale[r];
      along += a * product<V>(run, &next.q[r * V]);
      square += a * a * product<V>(&next.q[r * V], &next.q[r * V]);
    }
    if (error < best_error) best_error = error, block = next;
    if (square == 0) break;
    scale = through_f16(along / square);
  }
}

// x = scale * q - least, with q from 0 to kMost and neither scale below zero.
struct Affine {
  float scale = 0, least = 0;
};

template <int V, int kMost>
KEXA_INLINE Affine affine(const Wide* x) {
  constexpr float kCount = V * kLanes;
  const float low = std::min(least<V>(x), 0.0f), high = most<V>(x);
  const float range = high - low, total = sum<V>(x), energy = product<V>(x, x);
  // Where all values are alike and not above zero, the minimum alone says them.
  if (range < kLeastMagnitude) return {0, -low};
  Affine best;
  float best_error = INFINITY;
  Wide q[V], off[V];
  for (float step : {0.f, -0.2f, 0.2f, -0.4f, 0.4f, -0.6f, 0.6f, -0.9f, 0.9f, 1.3f, -1.f}) {
    float inverse = (kMost + step) / range, offset = -low;
    Affine found;
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < V; ++i) q[i] = rounded(clamped((x[i] + offset) * inverse, 0, kMost));
      const float q_sum = sum<V>(q), q_square = product<V>(q, q), along = product<V>(x, q);
      const float determinant = kCount * q_square - q_sum * q_sum;
      found = {};
      if (determinant > 0) found.scale = (kCount * along - q_sum * total) / determinant;
      if (found.scale > 0) found.least = (found.scale * q_sum - total) / kCount;
      if (!(found.scale > 0) || found.least < 0) found = {q_square > 0 ? std::max(along / q_square, 0.0f) : 0.0f, 0};
      if (found.scale == 0) break;
      inverse = 1 / found.scale, offset = found.least;
    }
    if (found.scale == 0) continue;
    for (int i = 0; i < V; ++i) {
      q[i] = rounded(clamped((x[i] + found.least) * inverse, 0, kMost));
      off[i] = x[i] - (q[i] * found.scale - found.least);
    }
    const float error = product<V>(off, off);
    if (error < best_error - energy * kMargin * kMargin) best_error = error, best = found;
  }
  return best;
}

// x = scale * q + shift, with q from 0 to kMost, both of f16 and the scale not below zero.
struct Shifted {
  float scale = 0, shift = 0;
};

template <int V, int kMost>
KEXA_INLINE Shifted shifted(const Wide* x, Wide* q) {
  constexpr float kCount = V * kLanes;
  const float low = least<V>(x), high = most<V>(x), range = high - low, total = sum<V>(x);
  const float energy = product<V>(x, x);
  Shifted best;
  float best_error = INFINITY;
  Wide trial[V], off[V];
  const auto attempt = [&](Shifted found, bool is_first) __attribute__((always_inline)) {
    found = {through_f16(found.scale), through_f16(found.shift)};
    const float inverse = found.scale > 0 ? 1 / found.scale : 0;
    for (int i = 0; i < V; ++i) {
      trial[i] = rounded(clamped((x[i] - found.shift) * inverse, 0, kMost));
      off[i] = x[i] - (trial[i] * found.scale + found.shift);
    }
    // Takes only a candidate that uses all levels, so that the values read back give the same block again.
    if (!is_first && !(least<V>(trial) == 0 && most<V>(trial) == kMost)) return;
    const float error = product<V>(off, off);
    if (!is_first && !(error < best_error - energy * kMargin * kMargin)) return;
    best_error = error, best = found;
    for (int i = 0; i < V; ++i) q[i] = trial[i];
  };
  attempt({range / kMost, low}, true);
  if (best.scale == 0) return best;
  for (float step : {0.f, -0.2f, 0.2f, -0.4f, 0.4f, -0.6f, 0.6f, -0.9f, 0.9f, -1.3f, 1.3f}) {
    const float inverse = (kMost + step) / range;
    // Centred, so that as much is cut off below as above.
    const float middle = (kMost - range * inverse) * 0.5f;
    for (int i = 0; i < V; ++i) trial[i] = rounded(clamped((x[i] - low) * inverse + middle, 0, kMost));
    const float q_sum = sum<V>(trial), q_square = product<V>(trial, trial), along = product<V>(x, trial);
    const float determinant = kCount * q_square - q_sum * q_sum;
    if (!(determinant > 0)) continue;
    const float scale = (kCount * along - q_sum * total) / determinant;
    attempt({scale, (total - scale * q_sum) / kCount}, false);
  }
  return best;
}

// A block of 256 as runs of 16 * V: x = (scale * run_scale) * q - least * run_least.
template <int V>
struct AffineBlock {
  static constexpr int kRuns = 16 / V;
  float scale, least;
  float run_scale[kRuns], run_least[kRuns];  // whole numbers
  Wide q[16];
};

// Run scales and leasts are whole numbers from 0 to kMostScale.
template <int V, int kMost, int kMostScale>
KEXA_INLINE void fit_affine_block(const Wide* x, AffineBlock<V>& block) {
  constexpr int kRuns = AffineBlock<V>::kRuns;
  constexpr int kRounds = 3;
  Affine wanted[kRuns];
  float most_scale = 0, most_least = 0;
  for (int r = 0; r < kRuns; ++r) {
    wanted[r] = affine<V, kMost>(x + r * V);
    most_scale = std::max(most_scale, wanted[r].scale), most_least = std::max(most_least, wanted[r].least);
  }
  float scale = through_f16(most_scale / kMostScale), least = through_f16(most_least / kMostScale);
  float best_error = INFINITY;
  Wide trial[V], off[V];
  block = {};
  for (int round = 0; round < kRounds; ++round) {
    AffineBlock<V> next;
    next.scale = scale, next.least = least;
    float error = 0;
    // The sums of the least-squares step for the two scales of the block.
    float aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    const auto whole = [](float value, float unit, float step) __attribute__((always_inline)) {
      return unit == 0 ? 0.0f : std::clamp(std::nearbyint(value / unit) + step, 0.0f, float(kMostScale));
    };
    for (int r = 0; r < kRuns; ++r) {
      const Wide* run = x + r * V;
      float run_error = INFINITY;
      for (float scale_step : {0.f, -1.f, 1.f})
        for (float least_step : {0.f, -1.f, 1.f}) {
          const float run_scale = whole(wanted[r].scale, scale, scale_step);
          const float run_least = whole(wanted[r].least, least, least_step);
          const float a = scale * run_scale, b = least * run_least, inverse = a == 0 ? 0 : 1 / a;
          for (int i = 0; i < V; ++i) {
            trial[i] = rounded(clamped((run[i] + b) * inverse, 0, kMost));
            off[i] = run[i] - (trial[i] * a - b);
          }
          const float found = product<V>(off, off);
          if (!(found < run_error)) continue;
          run_error = found;
          next.run_scale[r] = run_scale, next.run_least[r] = run_least;
          for (int i = 0; i < V; ++i) next.q[r * V + i] = trial[i];
        }
      error += run_error;
      const Wide* q = &next.q[r * V];
      const float a = next.run_scale[r], b = next.run_least[r], q_sum = sum<V>(q);
      aa += a * a * product<V>(q, q), ab += a * b * q_sum, bb += b * b * float(V * kLanes);
      xa += a * product<V>(run, q), xb += b * sum<V>(run);
    }
    if (error < best_error) best_error = error, block = next;
    const float determinant = aa * bb - ab * ab;
    if (aa == 0 && bb == 0) break;
    // x = scale * a q - least * b
    scale = determinant > 0 ? (xa * bb - xb * ab) / determinant : aa > 0 ? xa / aa : 0;
    least = determinant > 0 ? (xa * ab - xb * aa) / determinant : bb > 0 && aa == 0 ? -xb / bb : 0;
    scale = through_f16(std::max(scale, 0.0f)), least = through_f16(std::max(least, 0.0f));
    if (scale == 0 && least == 0) break;
  }
}

}  // namespace kexa::fit
