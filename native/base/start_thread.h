// Starts threads, with a clear error if the system allows no more.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error.h"

namespace kexa {

// The advice of the error: what to do if the system starts too few threads.
inline constexpr const char* kMoreThreads =
    "; raise the limit (`ulimit -u`, or `--pids-limit` of a container), or use fewer `threads`";

// Starts a thread for `purpose`, which the error names. Throws KEXA_OUT_OF_MEMORY.
template <typename Work>
std::thread start_thread(const std::string& purpose, Work&& work) {
  try {
    return std::thread(std::forward<Work>(work));
  } catch (const std::system_error& error) {
    throw Error("KEXA_OUT_OF_MEMORY",
                "wanted a thread for " + purpose + ", and the system started none: " + error.what() + kMoreThreads);
  }
}

}  // namespace kexa
