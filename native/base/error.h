// The one exception that kexa throws on purpose, and two more that end or put off a step.
#pragma once

#include <stdexcept>
#include <string>

namespace kexa {

// `code` is one of lib/errors.ts. The message says what was wanted, what was found and where.
struct Error : std::runtime_error {
  Error(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* code;
};

// Thrown between two layers when the caller of a step no longer wants it. Cancelling is no error, so this is no Error.
struct Cancelled {};

// Thrown before a step if the cache has no room for it until earlier requests are done. Waiting is no error, so this is
// no Error.
struct NoRoom {};

}  // namespace kexa
