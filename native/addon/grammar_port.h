// The JavaScript ends of a GrammarPort.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/grammar_port.h"

namespace kexa {

// Makes the port known to all threads of the process. Returns its number, from which a worker makes a GrammarPort.
double share_grammar_port(const std::shared_ptr<GrammarPort>& port);

// new GrammarPort(number, onWake): attaches this thread as the port's worker. lib/native.ts declares the methods.
Napi::Function define_grammar_port(Napi::Env env);

}  // namespace kexa
