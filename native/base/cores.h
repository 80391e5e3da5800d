// Keeps threads on the processor's cores.
#pragma once

#include <vector>

namespace kexa {

// One CPU for each physical core, out of the CPUs that this thread may run on, in the system's order. Empty if the
// system does not tell.
std::vector<int> physical_cores();

// The cores that one thread pool's threads are kept on, while this object lives. Only one object of the process has
// any: threads of two pools that are kept on one core would wait for each other.
class OwnCores {
 public:
  // Takes physical_cores(), if they are as many as `threads` and more than one. With fewer threads than cores, several
  // processes would all take the first cores; with more, there is nothing to choose.
  explicit OwnCores(int threads);
  ~OwnCores();
  OwnCores(const OwnCores&) = delete;
  OwnCores& operator=(const OwnCores&) = delete;

  // A core for each thread. Empty if the threads may move.
  const std::vector<int>& list() const { return list_; }

 private:
  std::vector<int> list_;
};

// Keeps this thread on a CPU. A refusal by the system is ignored, because only speed depends on it.
void stay_on(int cpu);

}  // namespace kexa
