// What an exception comes to for whoever asked.
#pragma once

#include <exception>
#include <string>

namespace kexa {

struct Failure {
  std::string code;  // one of lib/errors.ts
  std::string message;
};

// Of any exception: kexa's own Error as it is, want of memory or of threads as KEXA_OUT_OF_MEMORY, all else as
// KEXA_INTERNAL.
Failure failure_of(const std::exception_ptr& exception);

}  // namespace kexa
