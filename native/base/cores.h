// Keeping threads on the processor's cores.
#pragma once

#include <vector>

namespace kexa {

// Of the CPUs this thread may run on, one for each physical core, in the system's order. Empty where the system does
// not tell.
std::vector<int> physical_cores();

// Keeps this thread on a CPU. What the system refuses is left as it was: it is a matter of speed alone.
void stay_on(int cpu);

}  // namespace kexa
