// Work on another thread for JavaScript.
#pragma once

#include <napi.h>

#include <memory>

#include "base/failure.h"

namespace kexa {

// Work on libuv's thread pool, with a promise of its result. The promise rejects with an Error that has the code and
// message of failure_of().
class Worker : public Napi::AsyncWorker {
 public:
  // Starts the work. The object is deleted when the promise is settled.
  static Napi::Promise start(std::unique_ptr<Worker> worker) {
    const Napi::Promise promise = worker->deferred_.Promise();
    worker.release()->Queue();
    return promise;
  }

 protected:
  Worker(Napi::Env env, const char* name)
      : Napi::AsyncWorker(env, name), deferred_(Napi::Promise::Deferred::New(env)) {}

  // On a thread of the pool. May throw anything.
  virtual void work() = 0;
  // On the JavaScript thread, after work() has returned.
  virtual Napi::Value result() = 0;

 private:
  void Execute() final {
    try {
      work();
    } catch (...) {
      failure_ = failure_of(std::current_exception());
      SetError(failure_.message);
    }
  }
  void OnOK() final { deferred_.Resolve(result()); }
  void OnError(const Napi::Error& error) final {
    const Napi::Object value = error.Value();
    value.Set("code", failure_.code);
    deferred_.Reject(value);
  }

  Napi::Promise::Deferred deferred_;
  Failure failure_;
};

}  // namespace kexa
