// Converts JavaScript values to the core's structures and back. lib/native.ts declares the JavaScript side.
#pragma once

#include <napi.h>

#include "base/failure.h"
#include "kexa.h"

namespace kexa {

// lib/ has checked these objects. A wrong type here is a fault of kexa, and throws a TypeError.
TensorEntry to_tensor(const Napi::Object& from);
ModelDescription to_description(const Napi::Object& from);
PlanOptions to_plan_options(const Napi::Object& from);
MeasureParams to_measure_params(const Napi::Object& from);
ForwardParams to_forward_params(const Napi::Object& from);
GenerateParams to_generate_params(const Napi::Object& from);
Type to_type(const std::string& name);
ExpertMisses to_expert_misses(const std::string& name);
std::vector<int> to_ids(const Napi::Value& from);
// Ids as a Uint32Array.
template <typename Id>
Napi::Uint32Array from_ids(Napi::Env env, const std::vector<Id>& ids) {
  auto array = Napi::Uint32Array::New(env, ids.size());
  std::copy(ids.begin(), ids.end(), array.Data());
  return array;
}

// JavaScript's numbers are doubles, and casting one that does not fit is undefined or gives another number. These
// functions throw KEXA_INVALID_ARGUMENT, naming `name`, for NaN, fractions and numbers outside the range. A count is a
// whole number from 0 to 2^53. A number of bytes may have been measured or computed, so its fraction is dropped.
double in_range(const Napi::Value& from, const char* name, double least, double most);
int to_int(const Napi::Value& from, const char* name);
int64_t to_count(const Napi::Value& from, const char* name);
int64_t to_bytes(const Napi::Value& from, const char* name);

Napi::Object from_plan(Napi::Env env, const Plan& plan);
Napi::Object from_stats(Napi::Env env, const EngineStats& stats);
Napi::Object from_event(Napi::Env env, const Event& event);

// Runs `work` and turns any exception into a JavaScript Error with the code and message of failure_of(). No other
// exception may leave a function that JavaScript calls, because it would end the process.
template <typename Work>
auto or_throw(Napi::Env env, const Work& work) {
  try {
    return work();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    Napi::Error thrown = Napi::Error::New(env, failure.message);
    thrown.Set("code", failure.code);
    throw thrown;
  }
}

// A function for JavaScript that runs in or_throw().
template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  return or_throw(info.Env(), [&] { return Function(info); });
}

}  // namespace kexa
