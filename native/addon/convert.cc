#include "addon/convert.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kexa {

Type to_type(const std::string& name) {
  if (const std::optional<Type> type = type_named(name)) return *type;
  throw Error("KEXA_INTERNAL", "no type is called " + name);
}

constexpr double kMostCount = 9007199254740992;  // 2^53

double in_range(const Napi::Value& from, const char* name, double least, double most) {
  const double value = from.ToNumber().DoubleValue();
  if (value >= least && value <= most) return value;  // false for NaN
  throw Error("KEXA_INVALID_ARGUMENT", std::string(name) + ": wanted a number from " + std::to_string(int64_t(least)) +
                                           " to " + std::to_string(int64_t(most)) + ", found " + std::to_string(value));
}
static int64_t whole(const Napi::Value& from, const char* name, double least, double most) {
  const double value = in_range(from, name, least, most);
  if (value == std::floor(value)) return int64_t(value);
  throw Error("KEXA_INVALID_ARGUMENT", std::string(name) + ": wanted a whole number, found " + std::to_string(value));
}

int to_int(const Napi::Value& from, const char* name) {
  return int(whole(from, name, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
}
int64_t to_count(const Napi::Value& from, const char* name) { return whole(from, name, 0, kMostCount); }
int64_t to_bytes(const Napi::Value& from, const char* name) { return int64_t(in_range(from, name, 0, kMostCount)); }

}  // namespace kexa
