// Counts the work of a device, and how long each kind of work took.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kexa {

struct Profile {
  struct Op {
    std::string name;  // the kernel's name
    int64_t dispatches = 0;
    int64_t nanoseconds = 0;  // GPU time of all its dispatches together; 0 if the GPU has no timestamps
  };

  int64_t dispatches = 0, passes = 0, submits = 0;
  int64_t waits = 0;         // results that the CPU waited for; reading the times of a profile does not count
  int64_t buffer_bytes = 0;  // total of weights, cache and working buffers at the end
  std::vector<Op> ops;

  Op& op(const std::string& name) {
    const auto found = std::find_if(ops.begin(), ops.end(), [&](const Op& op) { return op.name == name; });
    return found != ops.end() ? *found : ops.emplace_back(Op{.name = name});
  }
  Profile& operator+=(const Profile& other) {
    dispatches += other.dispatches;
    passes += other.passes;
    submits += other.submits;
    waits += other.waits;
    buffer_bytes = other.buffer_bytes;
    for (const Op& from : other.ops) {
      Op& to = op(from.name);
      to.dispatches += from.dispatches;
      to.nanoseconds += from.nanoseconds;
    }
    return *this;
  }
};

// The steps of one kind: steps of a prompt, or steps that continue it.
struct StepCounts {
  int64_t steps = 0, rows = 0;
  int64_t experts = 0;      // experts that MoE layers read: the distinct ones of each layer and step, added up
  int64_t mtp_passes = 0;   // passes of the MTP block
  int64_t draft_heads = 0;  // MTP passes that computed logits
  std::optional<Profile> profile;
};

}  // namespace kexa
