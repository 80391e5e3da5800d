// Owns the state that a callback of Dawn writes to.
#pragma once

#include <memory>

namespace kexa {

// Dawn calls every callback once: when its future is waited for, or at the latest when the instance dies. By then the
// code that asked may have given up and be gone. So the state is on the heap, and the callback and the code that asked
// both own it.
//
//   auto answer = std::make_shared<std::string>();
//   info.userdata1 = lend(answer);
//   info.callback = [](..., void* to, void*) { *take_back<std::string>(to) = "here it is"; };
template <typename State>
void* lend(const std::shared_ptr<State>& state) {
  return new std::shared_ptr<State>(state);
}

// Takes the callback's share of the state. The callback calls it once for each lend().
template <typename State>
std::shared_ptr<State> take_back(void* userdata) {
  const std::unique_ptr<std::shared_ptr<State>> lent(static_cast<std::shared_ptr<State>*>(userdata));
  return *lent;
}

}  // namespace kexa
