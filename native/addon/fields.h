// Reads fields of JavaScript objects by name. Each function throws a TypeError that names the field if it is missing.
#pragma once

#include <napi.h>

#include <string>

#include "addon/convert.h"

namespace kexa {

inline Napi::Value member(const Napi::Object& from, const char* name) {
  const Napi::Value value = from.Get(name);
  if (value.IsUndefined())
    throw Napi::TypeError::New(from.Env(), std::string("kexa's core was given no field '") + name + "'");
  return value;
}
inline double number(const Napi::Object& from, const char* name) { return member(from, name).ToNumber().DoubleValue(); }
inline int integer(const Napi::Object& from, const char* name) { return to_int(member(from, name), name); }
inline int64_t count(const Napi::Object& from, const char* name) { return to_count(member(from, name), name); }
inline int64_t bytes(const Napi::Object& from, const char* name) { return to_bytes(member(from, name), name); }
inline bool boolean(const Napi::Object& from, const char* name) { return member(from, name).ToBoolean(); }
inline std::string text(const Napi::Object& from, const char* name) { return member(from, name).ToString(); }

}  // namespace kexa
