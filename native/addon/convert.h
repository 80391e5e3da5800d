// JavaScript values to the core's structures and back. lib/native.ts declares the JavaScript side.
#pragma once

#include <napi.h>

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

Napi::Object from_plan(Napi::Env env, const Plan& plan);
Napi::Object from_event(Napi::Env env, const Event& event);

// Runs `work`; what kexa throws becomes a JavaScript Error of the same code and message.
template <typename Work>
auto or_throw(Napi::Env env, const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    Napi::Error thrown = Napi::Error::New(env, error.what());
    thrown.Set("code", error.code);
    throw thrown;
  }
}

}  // namespace kexa
