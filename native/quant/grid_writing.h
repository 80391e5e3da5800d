// How types whose magnitudes are points of a grid write a block: iq2_xxs, iq2_xs and iq3_xxs.
//
// The magnitudes of eight (iq2) or four (iq3) weights are a point of a grid, times a scale that a run of weights
// shares. The error of point g at scale s is |x|^2 - 2 s <x, g> + s^2 |g|^2. So among the points of one length the
// point with the largest <x, g> is best at every scale. Each point is therefore held against a vector once, and a trial
// of a scale looks at one point of each length, which is an exact search of the grid.
//
// Seven of eight signs are stored, and the number of minuses is even. Where the weights have an odd number, one sign is
// turned. That costs 4 s x_i g_i, so the point's product counts less by twice its least x_i g_i.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "quant/block_writing.h"
#include "quant/fit.h"

namespace kexa::grids {

constexpr int kBlock = 256;
// How many vectors of weights are searched at once. GCC compares lane by lane in vectors wider than the processor's
// registers. Lanes do not depend on each other, so the width changes no byte.
#if defined(__x86_64__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
typedef float Lanes __attribute__((vector_size(kWidth * 4)));
typedef int32_t Places __attribute__((vector_size(kWidth * 4)));

KEXA_INLINE Lanes splat(float value) { return value - Lanes{}; }
constexpr int kMostScale = 15;

// A grid in the order of its lengths.
template <int kPoints, int kSize>
struct Grid {
  static constexpr int kMostLengths = 64;
  int lengths = 0;
  float square[kMostLengths];   // of each length
  int end[kMostLengths];        // the first point behind those of a length
  int code[kPoints];            // as it is stored
  float value[kPoints][kSize];  // magnitudes

  template <typename Values>
  Grid(const std::array<uint16_t, kPoints>& entries, const Values& values, int bits) {
    int order[kPoints], squares[kPoints] = {};
    const auto magnitude = [&](int point, int i) {
      return int(values[size_t(entries[point] >> (i * bits) & ((1 << bits) - 1))]);
    };
    for (int p = 0; p < kPoints; ++p) {
      order[p] = p;
      for (int i = 0; i < kSize; ++i) squares[p] += magnitude(p, i) * magnitude(p, i);
    }
    std::sort(order, order + kPoints,
              [&](int a, int b) { return squares[a] != squares[b] ? squares[a] < squares[b] : a < b; });
    for (int p = 0; p < kPoints; ++p) {
      if (p == 0 || squares[order[p]] != squares[order[p - 1]]) square[lengths++] = float(squares[order[p]]);
      end[lengths - 1] = p + 1;
      code[p] = order[p];
      for (int i = 0; i < kSize; ++i) value[p][i] = float(magnitude(order[p], i));
    }
  }
};

// The grid of a format, sorted once for the process.
template <typename Format>
const Grid<Format::kPoints, Format::kSize>& grid_of() {
  static const Grid<Format::kPoints, Format::kSize> grid(Format::kEntries, Format::kValues, Format::kBits);
  return grid;
}

// The best point of each length, for kWidth vectors at once.
template <typename Format>
struct Nearest {
  Lanes product[Grid<Format::kPoints, Format::kSize>::kMostLengths];
  Places point[Grid<Format::kPoints, Format::kSize>::kMostLengths];
};

// `turned` is 2 in lanes where a sign is turned, else 0.
template <typename Format>
KEXA_INLINE void find_nearest(const Grid<Format::kPoints, Format::kSize>& grid, const Lanes* x, const Lanes& turned,
                              Nearest<Format>& found) {
  int p = 0;
  for (int length = 0; length < grid.lengths; ++length) {
    Lanes best = splat(-INFINITY);
    Places point{};
    for (; p < grid.end[length]; ++p) {
      Lanes product = x[0] * grid.value[p][0], least = product;
      for (int i = 1; i < Format::kSize; ++i) {
        const Lanes term = x[i] * grid.value[p][i];
        product += term;
        least = term < least ? term : least;
      }
      product -= turned * least;
      const Places is_better = product > best;
      best = is_better ? product : best;
      point = is_better ? point * 0 + p : point;
    }
    found.product[length] = best;
    found.point[length] = point;
  }
}

// Returns the least error at scale s, without |x|^2.
template <typename Format>
KEXA_INLINE Lanes error_at(const Grid<Format::kPoints, Format::kSize>& grid, const Nearest<Format>& nearest,
                           const Lanes& s) {
  Lanes error = splat(INFINITY);
  for (int length = 0; length < grid.lengths; ++length) {
    const Lanes own = s * grid.square[length] - (nearest.product[length] + nearest.product[length]);
    error = own < error ? own : error;
  }
  return error * s;
}

// The point whose error error_at() returns.
struct Choice {
  Lanes error, product, square;
  Places point;
};
template <typename Format>
KEXA_INLINE void choose(const Grid<Format::kPoints, Format::kSize>& grid, const Nearest<Format>& nearest,
                        const Lanes& s, Choice& choice) {
  choice.error = splat(INFINITY);
  choice.product = choice.square = Lanes{};
  choice.point = Places{};
  for (int length = 0; length < grid.lengths; ++length) {
    const Lanes own = s * grid.square[length] - (nearest.product[length] + nearest.product[length]);
    const Places is_better = own < choice.error;
    choice.error = is_better ? own : choice.error;
    choice.product = is_better ? nearest.product[length] : choice.product;
    choice.square = is_better ? splat(grid.square[length]) : choice.square;
    choice.point = is_better ? nearest.point[length] : choice.point;
  }
  choice.error *= s;
}

// A block, how near its vectors are to the points of the grid, and the scales and points chosen for it.
// Format says:
// - kPoints, kSize: how many points the grid has, each of how many weights;
// - kEntries, kValues, kBits: the points as they are stored, the magnitudes, and the bits that name one;
// - kRun: how many weights share a scale;
// - kUnit: the factor on half plus the scale's whole number;
// - kMost: the largest magnitude.
template <typename Format>
struct GridBlock {
  static constexpr int kVectors = kBlock / Format::kSize;
  static constexpr int kTeams = kVectors / kWidth;  // of kWidth vectors
  static constexpr int kRuns = kBlock / Format::kRun;
  static constexpr int kRunVectors = Format::kRun / Format::kSize;
  // Whether two vectors share their eight signs, as in iq3.
  static constexpr bool kIsPaired = Format::kSize == 4;

  GridBlock() : grid(grid_of<Format>()) {}

  const Grid<Format::kPoints, Format::kSize>& grid;
  Lanes x[kTeams][Format::kSize];  // magnitudes, a vector in each lane
  uint8_t minus[kBlock / 8];       // for each eight weights, a bit where one is below zero
  bool is_odd[kBlock / 8];
  float peak[kRuns];
  // The nearest points of the vectors; where vectors are paired, also those with one sign turned.
  Nearest<Format> plain[kTeams], turned[kIsPaired ? kTeams : 1];

  float scale = 0;
  float run_scale[kRuns];  // whole numbers
  int point[kVectors];     // in the grid's order
  bool has_turned[kVectors];

  KEXA_INLINE void begin(const float* from) {
    float magnitude[kTeams][Format::kSize][kWidth];
    for (int r = 0; r < kRuns; ++r) peak[r] = 0;
    for (int eight = 0; eight < kBlock / 8; ++eight) minus[eight] = 0;
    for (int i = 0; i < kBlock; ++i) {
      const int vector = i / Format::kSize;
      const float value = std::fabs(from[i]);
      magnitude[vector / kWidth][i % Format::kSize][vector % kWidth] = value;
      peak[i / Format::kRun] = std::max(peak[i / Format::kRun], value);
      if (from[i] < 0) minus[i / 8] |= uint8_t(1 << (i % 8));
    }
    for (int eight = 0; eight < kBlock / 8; ++eight) is_odd[eight] = std::popcount(minus[eight]) % 2 != 0;
    for (int team = 0; team < kTeams; ++team) {
      for (int i = 0; i < Format::kSize; ++i) std::memcpy(&x[team][i], magnitude[team][i], sizeof(Lanes));
      Lanes twice{};
      if constexpr (kIsPaired) {
        find_nearest<Format>(grid, x[team], splat(2), turned[team]);
      } else {
        for (int lane = 0; lane < kWidth; ++lane) twice[lane] = is_odd[team * kWidth + lane] ? 2 : 0;
      }
      find_nearest<Format>(grid, x[team], twice, plain[team]);
    }
  }

  // Returns each vector's scale: that of its run.
  KEXA_INLINE Lanes scales_of(int team, const float* of_run) const {
    Lanes s;
    for (int lane = 0; lane < kWidth; ++lane) s[lane] = of_run[(team * kWidth + lane) / kRunVectors];
    return s;
  }

  // Computes the error of each run at a scale of its own.
  KEXA_INLINE void errors_at(const float* of_run, float* error) const {
    for (int r = 0; r < kRuns; ++r) error[r] = 0;
    for (int team = 0; team < kTeams; ++team) {
      const Lanes s = scales_of(team, of_run);
      float own[kWidth], other[kWidth];
      const Lanes plain_error = error_at<Format>(grid, plain[team], s);
      std::memcpy(own, &plain_error, sizeof own);
      if constexpr (kIsPaired) {
        const Lanes turned_error = error_at<Format>(grid, turned[team], s);
        std::memcpy(other, &turned_error, sizeof other);
        for (int lane = 0; lane < kWidth; lane += 2) {
          const int vector = team * kWidth + lane;
          error[vector / kRunVectors] += is_odd[vector / 2]
                                             ? std::min(other[lane] + own[lane + 1], own[lane] + other[lane + 1])
                                             : own[lane] + own[lane + 1];
        }
      } else {
        for (int lane = 0; lane < kWidth; ++lane) error[(team * kWidth + lane) / kRunVectors] += own[lane];
      }
    }
  }

  // The sums over a run that a better scale is made of.
  struct Sums {
    float product[kRuns], square[kRuns];
  };
  // Chooses the points for given scales of the runs. Returns the error.
  KEXA_INLINE float choose_points(const float* of_run, Sums& sums, int* points, bool* turns) const {
    float total = 0;
    for (int r = 0; r < kRuns; ++r) sums.product[r] = sums.square[r] = 0;
    const auto take = [&](const Choice& choice, int team, int lane, bool is_turned) KEXA_INLINE_CALL {
      const int vector = team * kWidth + lane;
      total += choice.error[lane];
      sums.product[vector / kRunVectors] += choice.product[lane];
      sums.square[vector / kRunVectors] += choice.square[lane];
      points[vector] = choice.point[lane];
      turns[vector] = is_turned;
    };
    for (int team = 0; team < kTeams; ++team) {
      const Lanes s = scales_of(team, of_run);
      Choice own, other;
      choose<Format>(grid, plain[team], s, own);
      if constexpr (kIsPaired) {
        choose<Format>(grid, turned[team], s, other);
        for (int lane = 0; lane < kWidth; lane += 2) {
          const bool is_any = is_odd[(team * kWidth + lane) / 2];
          const bool is_first = other.error[lane] + own.error[lane + 1] <= own.error[lane] + other.error[lane + 1];
          for (int i = 0; i < 2; ++i) {
            const bool is_turned = is_any && is_first == (i == 0);
            take(is_turned ? other : own, team, lane + i, is_turned);
          }
        }
      } else {
        for (int lane = 0; lane < kWidth; ++lane) take(own, team, lane, is_odd[team * kWidth + lane]);
      }
    }
    return total;
  }

  // Finds the scale that each run would have by itself.
  KEXA_INLINE void wanted_scales(float* wanted) const {
    constexpr int kSteps = 20;
    constexpr float kFirst = 0.4f, kStep = 1.15f;
    float least_error[kRuns], trial[kRuns], error[kRuns];
    for (int r = 0; r < kRuns; ++r) {
      least_error[r] = INFINITY;
      wanted[r] = 0;
      trial[r] = peak[r] * (kFirst / Format::kMost);
    }
    for (int step = 0; step < kSteps; ++step) {
      errors_at(trial, error);
      for (int r = 0; r < kRuns; ++r) {
        if (error[r] < least_error[r]) least_error[r] = error[r], wanted[r] = trial[r];
        trial[r] *= kStep;
      }
    }
    Sums sums;
    int points[kVectors];
    bool turns[kVectors];
    choose_points(wanted, sums, points, turns);
    for (int r = 0; r < kRuns; ++r)
      if (sums.product[r] > 0) wanted[r] = sums.product[r] / sums.square[r];
  }

  KEXA_INLINE void fit() {
    constexpr int kRounds = 2;
    float wanted[kRuns], largest = 0;
    wanted_scales(wanted);
    for (int r = 0; r < kRuns; ++r) largest = std::max(largest, wanted[r]);
    const auto factor = [](float whole) KEXA_INLINE_CALL { return (0.5f + whole) * Format::kUnit; };
    float best_error = INFINITY;
    for (int v = 0; v < kVectors; ++v) point[v] = 0, has_turned[v] = false;
    for (int r = 0; r < kRuns; ++r) run_scale[r] = 0;
    // The largest scale may be any of the larger whole numbers.
    for (float top = kMostScale; top >= kMostScale - 6; top -= 2) {
      float own = fit::through_f16(largest / factor(top));
      for (int round = 0; round < kRounds && own > 0; ++round) {
        float whole[kRuns], least_error[kRuns], trial[kRuns], scales[kRuns], error[kRuns];
        for (int r = 0; r < kRuns; ++r) least_error[r] = INFINITY, whole[r] = 0;
        for (float step : {0.f, -1.f, 1.f}) {
          for (int r = 0; r < kRuns; ++r) {
            const float middle = std::nearbyint(wanted[r] / (own * Format::kUnit) - 0.5f);
            trial[r] = std::clamp(middle + step, 0.0f, float(kMostScale));
            scales[r] = own * factor(trial[r]);
          }
          errors_at(scales, error);
          for (int r = 0; r < kRuns; ++r)
            if (error[r] < least_error[r]) least_error[r] = error[r], whole[r] = trial[r];
        }
        for (int r = 0; r < kRuns; ++r) scales[r] = own * factor(whole[r]);
        Sums sums;
        int points[kVectors];
        bool turns[kVectors];
        const float total = choose_points(scales, sums, points, turns);
        if (total < best_error) {
          best_error = total, scale = own;
          for (int v = 0; v < kVectors; ++v) point[v] = points[v], has_turned[v] = turns[v];
          for (int r = 0; r < kRuns; ++r) run_scale[r] = whole[r];
        }
        float along = 0, square = 0;
        for (int r = 0; r < kRuns; ++r) {
          along += factor(whole[r]) * sums.product[r];
          square += factor(whole[r]) * factor(whole[r]) * sums.square[r];
        }
        own = fit::through_f16(along / square);
      }
    }
    // A sign is turned where that costs least.
    for (int v = 0; v < kVectors; ++v) {
      if (!has_turned[v]) continue;
      int least = 0;
      float least_cost = INFINITY;
      for (int i = 0; i < Format::kSize; ++i) {
        const float cost = x[v / kWidth][i][v % kWidth] * grid.value[point[v]][i];
        if (cost < least_cost) least = i, least_cost = cost;
      }
      minus[v * Format::kSize / 8] ^= uint8_t(1 << (v * Format::kSize % 8 + least));
    }
  }

  KEXA_INLINE int code(int vector) const { return grid.code[point[vector]]; }
  // Four times seven signs, and a scale above them.
  KEXA_INLINE uint32_t signs_and_scale(int run) const {
    uint32_t packed = uint32_t(run_scale[run]) << 28;
    for (int i = 0; i < 4; ++i) packed |= uint32_t(minus[run * 4 + i] & 127) << (i * 7);
    return packed;
  }
};

}  // namespace kexa::grids
