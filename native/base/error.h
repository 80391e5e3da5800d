// The one exception kexa throws on purpose, and those that end or put off a step.
#pragma once

#include <stdexcept>
#include <string>

namespace kexa {

// `code` is one of lib/errors.ts; the message says what was wanted, what was found and where.
struct Error : std::runtime_error {
  Error(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* code;
};

// Thrown between layers when whoever asked for a step no longer wants it. Not an error, so not an Error.
struct Cancelled {};

// Thrown before a step for which the cache has no room until others, who came first, are done. Not an error either.
struct NoRoom {};

}  // namespace kexa
