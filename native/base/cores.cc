#include "base/cores.h"

#include <atomic>

#if defined(__linux__)
#include <sched.h>

#include <fstream>
#include <set>
#include <string>
#endif

namespace kexa {

std::vector<int> physical_cores() {
  std::vector<int> cores;
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return {};
  std::set<std::string> seen;  // for each core, the list of its CPUs as the system writes it
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) return {};
    if (seen.insert(siblings).second) cores.push_back(cpu);
  }
#endif
  return cores;
}

static std::atomic<bool> are_cores_taken = false;

OwnCores::OwnCores(int threads) {
  if (threads <= 1) return;
  std::vector<int> cores = physical_cores();
  if (int(cores.size()) == threads && !are_cores_taken.exchange(true)) list_ = std::move(cores);
}

OwnCores::~OwnCores() {
  if (!list_.empty()) are_cores_taken = false;
}

void stay_on([[maybe_unused]] int cpu) {
#if defined(__linux__)
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  sched_setaffinity(0, sizeof only, &only);
#endif
}

}  // namespace kexa
