// Counts of an engine's work, for gauges, logs and those who watch it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include "engine/channel.h"
#include "plan/limits.h"

namespace kexa {

inline constexpr std::array kRowBounds{1., 2., 4., 8., 16., 32., 64., 128., 256., 512., 1024., 2048., 4096.};
inline constexpr std::array kSequenceBounds{1., 2., 4., 8., 16., 32., 64., 128., 256.};
inline constexpr std::array kSecondBounds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                          0.1,    0.25,  0.5,    1.,    2.5,  5.,    10.};

// How many values fell into each bucket. A bucket has the values up to its bound that are above the bound before.
struct Histogram {
  static constexpr size_t kMostBounds = std::max({kRowBounds.size(), kSequenceBounds.size(), kSecondBounds.size()});

  std::span<const double> bounds;
  std::array<int64_t, kMostBounds + 1> counts{};  // [bounds + 1]: the last one has what is above the last bound
  double sum = 0;

  void add(double value) {
    ++counts[size_t(std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin())];
    sum += value;
  }
};

// The steps of one kind.
struct StepStats {
  Histogram rows{.bounds = kRowBounds};
  Histogram sequences{.bounds = kSequenceBounds};
  Histogram seconds{.bounds = kSecondBounds};
};

struct EngineStats {
  // Now. Pages are of kPageRows rows: `live` ones belong to running requests, `kept` ones to idle sessions or kept
  // prefixes alone.
  int running = 0, waiting = 0, parked = 0, slots = 0;
  int live_pages = 0, kept_pages = 0, free_pages = 0, pages = 0;
  int64_t waiting_tokens = 0;  // of the waiting requests' prompts, without those that a kept prefix has

  // Since the model was loaded. Steps of jobs are not counted.
  StepStats answer_steps;                                 // of answers' rows alone
  StepStats prompt_steps;                                 // of rows of prompts, alone or beside answers' rows
  int64_t prompt_tokens = 0;                              // of prompts that are in the cache as a whole
  int64_t computed_tokens = 0;                            // rows of prompts that steps have computed
  int64_t generated_tokens = 0;                           // tokens of answers
  int64_t queried_tokens = 0;                             // tokens of prompts that were looked up in the cache
  int64_t hit_tokens = 0;                                 // of these, the ones that were there
  std::array<int64_t, kMaxDrafts> drafted{}, accepted{};  // drafts made and kept, by their place in the step
  int64_t parks = 0;
  uint64_t layers = 0;             // layers that were run: grows while a step runs
  std::vector<int64_t> device_ns;  // [devices that share the model]: how long each has worked
  bool is_device_lost = false;
};

// Where the engine's thread counts, and what others see of it.
struct StatsBoard {
  explicit StatsBoard(std::shared_ptr<Bell> bell) : bell(std::move(bell)) {}

  const std::shared_ptr<Bell> bell;
  EngineStats counted;              // the engine's thread alone
  EngineStats shown;                // guarded by the bell's lock
  std::atomic<uint64_t> layers{0};  // takes the place of EngineStats::layers

  // Engine's thread. The bell is not locked.
  void show();
  // Shows an engine that is closed: nothing runs, and all pages are free.
  void show_closed();
  // Notes a lost device. To be called with each error of a request.
  void note_failure(const std::exception_ptr& exception);
};

}  // namespace kexa
