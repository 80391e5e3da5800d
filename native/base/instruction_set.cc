#include "base/instruction_set.h"

#include <atomic>
#include <string>

#include "base/error.h"

namespace kexa {

std::string_view instruction_set_name(InstructionSet set) {
  switch (set) {
    case InstructionSet::kPlain:
      return "plain";
    case InstructionSet::kAvx2:
      return "avx2";
    case InstructionSet::kAvx512:
      return "avx512";
    case InstructionSet::kAvx512Vnni:
      return "avx512vnni";
    case InstructionSet::kNeon:
      return "neon";
  }
  return "";
}

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets = {InstructionSet::kPlain};
#if defined(__x86_64__)
  // The features that -march=x86-64-v3 and v4 imply, as far as the compiler uses them in this code.
  const bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (has_v3) sets.push_back(InstructionSet::kAvx2);
  const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (has_v4) sets.push_back(InstructionSet::kAvx512);
  if (has_v4 && __builtin_cpu_supports("avx512vnni")) sets.push_back(InstructionSet::kAvx512Vnni);
#elif defined(__aarch64__)
  sets.push_back(InstructionSet::kNeon);
#endif
  return sets;
}

static std::atomic<InstructionSet>& chosen() {
  static std::atomic<InstructionSet> set{instruction_sets().back()};
  return set;
}

void use_instruction_set(std::string_view name) {
  for (InstructionSet set : instruction_sets()) {
    if (instruction_set_name(set) != name) continue;
    chosen().store(set, std::memory_order_relaxed);
    return;
  }
  throw Error("KEXA_UNSUPPORTED", "this processor has no instruction set " + std::string(name));
}

InstructionSet chosen_instruction_set() { return chosen().load(std::memory_order_relaxed); }

}  // namespace kexa
