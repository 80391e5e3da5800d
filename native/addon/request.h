// The JavaScript end of a Channel.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "engine/channel.h"

namespace kexa {

// JavaScript pulls: next() resolves with all events since the last call, or null at the end. The engine's thread only
// rings, and never touches a JavaScript value. Without a pending next(), a request does not keep the process alive.
class Request : public Napi::ObjectWrap<Request> {
 public:
  static Napi::Function define(Napi::Env env);
  // A Request object for the channel.
  static Napi::Object create(Napi::Env env, std::shared_ptr<Channel> channel);

  explicit Request(const Napi::CallbackInfo& info);
  ~Request() override;

 private:
  static void on_wake(Napi::Env env, Napi::Function, Request* self, void*);
  using Wake = Napi::TypedThreadSafeFunction<Request, void, &Request::on_wake>;
  static void on_env_cleanup(void* self) { static_cast<Request*>(self)->stop(); }

  Napi::Value next(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  void settle(Napi::Env env);
  void stop();

  napi_env env_;
  std::shared_ptr<Channel> channel_;
  Wake wake_;
  std::atomic<bool> is_woken_{false};  // a wake is under way, so further ones are not needed
  std::optional<Napi::Promise::Deferred> waiting_;
  bool has_ended_ = false, is_stopped_ = false;
};

}  // namespace kexa
