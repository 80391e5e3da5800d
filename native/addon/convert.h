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
std::vector<int> to_ids(const Napi::Value& from);

Napi::Object from_plan(Napi::Env env, const Plan& plan);
Napi::Object from_event(Napi::Env env, const Event& event);

}  // namespace kexa
