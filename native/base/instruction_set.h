// The vector instructions of the processor that the CPU device computes with.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace kexa {

enum class InstructionSet : uint8_t { kPlain, kAvx2, kAvx512, kAvx512Vnni, kNeon };

// One of: plain, avx2, avx512, avx512vnni, neon.
std::string_view instruction_set_name(InstructionSet set);

// The sets that are compiled in and that this processor has, the best one last.
std::vector<InstructionSet> instruction_sets();

// The one to use: what the environment variable KEXA_CPU names, else the best. Throws KEXA_UNSUPPORTED if it names none
// of instruction_sets().
InstructionSet chosen_instruction_set();

}  // namespace kexa
