#include "addon/request.h"

#include "addon/convert.h"

namespace kexa {
namespace {

bool is_last(const Event& event) {
  return !std::holds_alternative<event::Progress>(event) && !std::holds_alternative<event::Started>(event) &&
         !std::holds_alternative<event::Prompt>(event) && !std::holds_alternative<event::Tokens>(event) &&
         !std::holds_alternative<event::Measured>(event);
}

}  // namespace

Napi::Function Request::define(Napi::Env env) {
  return DefineClass(env, "Request",
                     {InstanceMethod<&Request::next>("next"), InstanceMethod<&Request::cancel>("cancel")});
}

Napi::Object Request::create(Napi::Env env, std::shared_ptr<Channel> channel) {
  auto external = Napi::External<std::shared_ptr<Channel>>::New(env, &channel);
  return env.GetInstanceData<Napi::FunctionReference>()->New({external});
}

Request::Request(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Request>(info), env_(info.Env()) {
  if (info.Length() != 1 || !info[0].IsExternal())
    throw Napi::TypeError::New(env_, "Request objects come from an Engine");
  channel_ = *info[0].As<Napi::External<std::shared_ptr<Channel>>>().Data();
  wake_ = Wake::New(env_, "kexa.request", 0, 1, this);
  wake_.Unref(env_);
  // Registered after the thread-safe function, so that it runs before that function's own hook.
  napi_add_env_cleanup_hook(env_, &Request::on_env_cleanup, this);
  channel_->attach([this] {
    if (!is_woken_.exchange(true)) wake_.NonBlockingCall();
  });
}

Request::~Request() {
  if (is_stopped_) return;
  napi_remove_env_cleanup_hook(env_, &Request::on_env_cleanup, this);
  stop();
}

// Runs on the JavaScript thread. Aborts the thread-safe function instead of releasing it, because a queued wake must
// not reach a dead object.
void Request::stop() {
  if (is_stopped_) return;
  is_stopped_ = true;
  channel_->detach();
  channel_->cancel();
  wake_.Abort();
}

void Request::on_wake(Napi::Env env, Napi::Function, Request* self, void*) {
  if (env != nullptr) self->settle(env);
}

Napi::Value Request::next(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (waiting_) throw Napi::Error::New(env, "next() is already pending");
  auto deferred = Napi::Promise::Deferred::New(env);
  if (has_ended_) {
    deferred.Resolve(env.Null());
    return deferred.Promise();
  }
  waiting_ = deferred;
  Ref();  // keeps the object alive while somebody waits
  wake_.Ref(env);
  settle(env);
  return deferred.Promise();
}

void Request::settle(Napi::Env env) {
  is_woken_ = false;
  if (!waiting_) return;
  Napi::HandleScope scope(env);
  std::vector<Event> events = channel_->take();
  if (events.empty()) return;
  auto waiting = *waiting_;
  waiting_.reset();
  wake_.Unref(env);
  Unref();
  has_ended_ = is_last(events.back());
  try {
    auto array = Napi::Array::New(env, events.size());
    for (uint32_t i = 0; i < events.size(); ++i) array.Set(i, from_event(env, events[i]));
    waiting.Resolve(array);
  } catch (const Napi::Error& error) {
    // For example a result that is too large for a typed array.
    waiting.Reject(error.Value());
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    Napi::Error error = Napi::Error::New(env, failure.message);
    error.Set("code", failure.code);
    waiting.Reject(error.Value());
  }
}

Napi::Value Request::cancel(const Napi::CallbackInfo& info) {
  channel_->cancel();
  return info.Env().Undefined();
}

}  // namespace kexa
