// The one exception kexa throws on purpose, and the one that ends a cancelled step.
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

}  // namespace kexa
