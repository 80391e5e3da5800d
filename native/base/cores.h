// Keeps threads on the processor's cores.
#pragma once

#include <vector>

namespace kexa {

// One CPU for each physical core, out of the CPUs that this thread may run on, in the system's order. Empty if the
// system does not tell.
std::vector<int> physical_cores();

// Keeps this thread on a CPU. A refusal by the system is ignored, because only speed depends on it.
void stay_on(int cpu);

}  // namespace kexa
