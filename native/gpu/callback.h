// State that one of Dawn's callbacks writes to.
#pragma once

#include <memory>

namespace kexa {

// Dawn calls every callback once, some day: when its future is waited for or, if nobody does, when the instance goes.
// By then whoever asked may have given up and be gone. So the state is on the heap, and callback and asker both own it.
//
//   auto answer = std::make_shared<std::string>();
//   info.userdata1 = lend(answer);
//   info.callback = [](..., void* to, void*) { *take_back<std::string>(to) = "here it is"; };
template <typename State>
void* lend(const std::shared_ptr<State>& state) {
  return new std::shared_ptr<State>(state);
}

// To be called once for each lend(), by the callback.
template <typename State>
std::shared_ptr<State> take_back(void* userdata) {
  const std::unique_ptr<std::shared_ptr<State>> lent(static_cast<std::shared_ptr<State>*>(userdata));
  return *lent;
}

}  // namespace kexa
