// JavaScript values to the core's structures and back. lib/native.ts declares the JavaScript side.
#pragma once

#include <napi.h>

#include "base/failure.h"
#include "kexa.h"

namespace kexa {

// What lib/ sends was checked there; a wrong type here is a fault of kexa, and throws a TypeError.
ModelDescription to_description(const Napi::Object& from);
PlanOptions to_plan_options(const Napi::Object& from);
MeasureParams to_measure_params(const Napi::Object& from);
ForwardParams to_forward_params(const Napi::Object& from);
GenerateParams to_generate_params(const Napi::Object& from);
Type to_type(const std::string& name);
ExpertMisses to_expert_misses(const std::string& name);
std::vector<int> to_ids(const Napi::Value& from);

// JavaScript's numbers are doubles, and a cast of one that does not fit is undefined or another number. These throw
// KEXA_INVALID_ARGUMENT, naming `name`, for NaN, fractions, and what is not in the type's range. A count is a whole
// number from 0 to 2^53; of bytes that were measured or computed a fraction is dropped.
double in_range(const Napi::Value& from, const char* name, double least, double most);
int to_int(const Napi::Value& from, const char* name);
int64_t to_count(const Napi::Value& from, const char* name);
int64_t to_bytes(const Napi::Value& from, const char* name);

Napi::Object from_plan(Napi::Env env, const Plan& plan);
Napi::Object from_event(Napi::Env env, const Event& event);

// Runs `work`; whatever is thrown becomes a JavaScript Error with the code and message of failure_of(). Nothing else
// may leave a function that JavaScript calls: it would end the process.
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

// A function for JavaScript, run by or_throw().
template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  return or_throw(info.Env(), [&] { return Function(info); });
}

}  // namespace kexa
