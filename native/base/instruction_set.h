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

// Chooses the set that this process computes with from now on. Until then it is the best. Throws KEXA_UNSUPPORTED if
// instruction_sets() has none of that name.
void use_instruction_set(std::string_view name);
InstructionSet chosen_instruction_set();

}  // namespace kexa
