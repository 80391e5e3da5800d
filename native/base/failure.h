// Turns an exception into the code and message that a caller gets.
#pragma once

#include <exception>
#include <string>

namespace kexa {

struct Failure {
  std::string code;  // one of lib/errors.ts
  std::string message;
};

// kexa's own Error keeps its code. Lack of memory or threads becomes KEXA_OUT_OF_MEMORY, and any other exception
// KEXA_INTERNAL.
Failure failure_of(const std::exception_ptr& exception);

}  // namespace kexa
