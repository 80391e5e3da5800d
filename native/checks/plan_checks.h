// The functions of the tests' addon for planning steps and drafts, and for the grammar port.
#pragma once

#include <napi.h>

namespace kexa {

void export_plan_checks(Napi::Env env, Napi::Object exports);

}  // namespace kexa
