// Random requests against plan_step() and the rules of admission, without a device.
#pragma once

#include <cstdint>
#include <string>

namespace kexa {

// One made-up engine with its pool of pages, and the requests that come to it.
struct PlannerWorld {
  uint64_t seed = 1;
  int events = 1000;  // arrivals, cancels, readers that stop or go on, and steps; then all requests may end
  int slots = 4;
  int context = 1024;  // tokens
  int pages = 16;      // of 64 tokens
  int prefill_chunk = 128;
  int decode_rows = 32;
  bool mixes_prompts = true;
  double target_ns = 50e6;
  double step_ns = 5e6, row_ns = 1e6;  // the true cost of a step
  bool has_surprises = false;          // short prompts with long answers that nobody expects, so that many are parked
  bool is_crowded = true;              // false: one request, as long as the context, with 8 drafts
};

// The events of a run, which ends at the first problem.
struct PlannerRun {
  std::string problem;  // empty: none
  int64_t steps = 0, shared_steps = 0, mixed_steps = 0, cut_steps = 0, ended = 0, parks = 0, stalled_parks = 0,
          gave_way = 0, full_contexts = 0;
  int most_parks = 0;          // of one request, while its reader was not slow
  double longest_wait_ns = 0;  // that a prompt of more than the least rows made an answer wait
};

PlannerRun run_planner(const PlannerWorld& world);

}  // namespace kexa
