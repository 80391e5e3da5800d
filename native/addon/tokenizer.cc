#include "addon/tokenizer.h"

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "addon/convert.h"
#include "addon/worker.h"
#include "base/error.h"
#include "base/failure.h"
#include "text/encoder.h"

namespace kexa {
namespace {

// The end of a call that may be on another thread.
struct Outcome {
  Failure failure;  // an empty code: there is none
  bool is_cancelled = false;

  // Runs `work`, which may throw anything. Returns false if it threw, but lets a Napi::Error pass.
  template <typename Work>
  bool caught(const Work& work) {
    try {
      work();
      return true;
    } catch (const Napi::Error&) {
      throw;
    } catch (const Cancelled&) {
      is_cancelled = true;
    } catch (const TooManyIds&) {
      failure = {"KEXA_CONTEXT_FULL", "the text has more tokens than were wanted"};
    } catch (const std::length_error&) {
      failure = {"KEXA_INVALID_ARGUMENT", "text: it is too long"};
    } catch (...) {
      failure = failure_of(std::current_exception());
    }
    return false;
  }

  Napi::Error error(Napi::Env env) const {
    Napi::Error thrown = Napi::Error::New(env, failure.message);
    thrown.Set("code", failure.code);
    return thrown;
  }
};

// Copies at most a megabyte on the JavaScript thread; larger results become external memory.
Napi::Value take_ids(Napi::Env env, std::vector<uint32_t>&& ids) {
  constexpr size_t kCopied = 1 << 18;
#ifndef NODE_API_NO_EXTERNAL_BUFFERS_ALLOWED
  if (ids.size() > kCopied) {
    auto* owned = new std::vector<uint32_t>(std::move(ids));
    try {
      const auto free = [](Napi::Env, void*, std::vector<uint32_t>* from) { delete from; };
      auto buffer = Napi::ArrayBuffer::New(env, owned->data(), owned->size() * sizeof(uint32_t), free, owned);
      return Napi::Uint32Array::New(env, owned->size(), buffer, 0);
    } catch (const Napi::Error&) {  // a Node without external memory, for example Electron's
      ids = std::move(*owned);
      delete owned;
    }
  }
#endif
  return from_ids(env, ids);
}

PackedTexts to_texts(const Napi::Value& bytes, const Napi::Value& ends) {
  const auto from = bytes.As<Napi::Uint8Array>();
  const auto to = ends.As<Napi::Uint32Array>();
  return {{from.Data(), from.Data() + from.ByteLength()}, {to.Data(), to.Data() + to.ElementLength()}};
}

VocabularySource to_source(const Napi::Object& from) {
  VocabularySource source;
  source.file = from.Get("file").ToString();
  source.tokens_field = from.Get("tokensField").ToString();
  source.merges_field = from.Get("mergesField").ToString();
  source.names = to_texts(from.Get("names"), from.Get("nameEnds"));
  const auto ids = from.Get("ids").As<Napi::Uint32Array>();
  source.ids.assign(ids.Data(), ids.Data() + ids.ElementLength());
  source.merges = to_texts(from.Get("merges"), from.Get("mergeEnds"));
  source.has_joined_merges = from.Get("hasJoinedMerges").ToBoolean();
  const auto added = from.Get("added").As<Napi::Array>();
  for (uint32_t i = 0; i < added.Length(); ++i) {
    const auto token = added.Get(i).As<Napi::Object>();
    source.added.push_back({.content = token.Get("content").ToString(),
                            .id = token.Get("id").ToNumber(),
                            .is_special = token.Get("isSpecial").ToBoolean(),
                            .is_normalized = token.Get("isNormalized").ToBoolean(),
                            .is_named = token.Get("isNamed").ToBoolean()});
  }
  const std::string form = from.Get("normalForm").ToString(), split = from.Get("split").ToString();
  source.form = form == "nfc" ? NormalForm::kNfc : form == "nfkc" ? NormalForm::kNfkc : NormalForm::kNone;
  source.pattern = split == "exaone-moe" ? SplitPattern::kExaoneMoe
                   : split == "exaone"   ? SplitPattern::kExaone
                   : split == "gpt2"     ? SplitPattern::kGpt2
                                         : SplitPattern::kNone;
  return source;
}

// `spans` has three numbers for each span: start, end, and 0 (all), 1 (markers) or 2 (none).
EncodeRequest to_request(const Napi::Object& from) {
  EncodeRequest request;
  request.text = from.Get("text").As<Napi::String>().Utf16Value();
  const auto spans = from.Get("spans").As<Napi::Uint32Array>();
  for (size_t i = 0; i + 2 < spans.ElementLength(); i += 3)
    request.spans.push_back({spans[i], spans[i + 1], Allow(spans[i + 2])});
  if (from.Has("mostIds")) request.most_ids = size_t(from.Get("mostIds").ToNumber().Int64Value());
  if (from.Has("limits")) {
    const auto limits = from.Get("limits").As<Napi::Object>();
    request.limits.heap_from = size_t(limits.Get("heapFrom").ToNumber().Int64Value());
    request.limits.lists_from = size_t(limits.Get("listsFrom").ToNumber().Int64Value());
    request.limits.has_cache = limits.Get("hasCache").ToBoolean();
  }
  return request;
}

// Limits how many texts are encoded at once, because each needs working memory of its own. Others wait.
class Turns {
 public:
  // Throws Cancelled.
  void take(const std::atomic<bool>& stop) {
    std::unique_lock lock(mutex_);
    while (taken_ == kMost) {
      if (stop) throw Cancelled{};
      given_back_.wait_for(lock, std::chrono::milliseconds(20));
    }
    ++taken_;
  }
  void give_back() {
    {
      const std::lock_guard lock(mutex_);
      --taken_;
    }
    given_back_.notify_one();
  }
  // Never destroyed, because a process may exit while threads still encode.
  static Turns& all() {
    static auto* turns = new Turns;
    return *turns;
  }

 private:
  static constexpr int kMost = 4;
  std::mutex mutex_;
  std::condition_variable given_back_;
  int taken_ = 0;
};

// One text, encoded on its own thread. On libuv's pool, process.exit() and worker.terminate() would wait until a long
// text is done, because no code of an addon runs before.
class EncodeJob {
 public:
  // Returns { result, cancel }. The job deletes itself at its end.
  static Napi::Object start(Napi::Env env, std::shared_ptr<Encoder> encoder, EncodeRequest request) {
    auto job = std::make_unique<EncodeJob>(env, std::move(encoder), std::move(request));
    auto object = Napi::Object::New(env);
    object.Set("result", job->deferred_.Promise());
    object.Set("cancel", Napi::Function::New(env, [stop = job->stop_](const Napi::CallbackInfo&) { *stop = true; }));
    job->begin();
    job.release();
    return object;
  }

  EncodeJob(Napi::Env env, std::shared_ptr<Encoder> encoder, EncodeRequest request)
      : env_(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        encoder_(std::move(encoder)),
        request_(std::move(request)),
        stop_(std::make_shared<std::atomic<bool>>(false)) {}

 private:
  static void on_done(Napi::Env env, Napi::Function, EncodeJob* job, void*) {
    if (env != nullptr) job->settle(env);  // a null env means that the environment is gone, and the job with it
  }
  using Done = Napi::TypedThreadSafeFunction<EncodeJob, void, &EncodeJob::on_done>;

  void begin() {
    done_ = Done::New(env_, "kexa.encode", 0, 1, this);
    // Registered after the thread-safe function, so that it runs before that function's own hook.
    napi_add_env_cleanup_hook(env_, &EncodeJob::on_env_cleanup, this);
    try {
      thread_ = std::thread([this] { run(); });
    } catch (...) {
      napi_remove_env_cleanup_hook(env_, &EncodeJob::on_env_cleanup, this);
      done_.Abort();
      throw;
    }
  }

  void run() {
    outcome_.caught([&] {
      Turns::all().take(*stop_);
      struct Turn {
        ~Turn() { Turns::all().give_back(); }
      } turn;
      ids_ = encoder_->encode(request_, stop_.get());
    });
    done_.NonBlockingCall();
  }

  void settle(Napi::Env env) {
    const std::unique_ptr<EncodeJob> own(this);
    napi_remove_env_cleanup_hook(env_, &EncodeJob::on_env_cleanup, this);
    thread_.join();
    const Napi::HandleScope scope(env);
    if (*stop_ || outcome_.is_cancelled)
      deferred_.Resolve(env.Null());
    else if (!outcome_.failure.code.empty())
      deferred_.Reject(outcome_.error(env).Value());
    else
      deferred_.Resolve(take_ids(env, std::move(ids_)));
    done_.Release();
  }

  static void on_env_cleanup(void* self) {
    const std::unique_ptr<EncodeJob> own(static_cast<EncodeJob*>(self));
    *own->stop_ = true;
    own->thread_.join();
    own->done_.Abort();
  }

  napi_env env_;
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Encoder> encoder_;
  EncodeRequest request_;
  std::shared_ptr<std::atomic<bool>> stop_;
  Done done_;
  std::thread thread_;
  std::vector<uint32_t> ids_;
  Outcome outcome_;
};

class TokenizerObject : public Napi::ObjectWrap<TokenizerObject> {
 public:
  explicit TokenizerObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TokenizerObject>(info) {
    Outcome outcome;
    if (!outcome.caught([&] { source_ = to_source(info[0].As<Napi::Object>()); })) throw outcome.error(info.Env());
  }

  Napi::Value load(const Napi::CallbackInfo& info);

  Napi::Value id_of(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), encoder_->vocabulary().id_of(info[0].ToString().Utf8Value()));
  }

  Napi::Value encode(const Napi::CallbackInfo& info) {
    std::vector<uint32_t> ids;
    Outcome outcome;
    const bool is_done = outcome.caught([&] {
      EncodeRequest request = to_request(info[0].As<Napi::Object>());
      ids = encoder_->encode(request, nullptr);
    });
    if (!is_done) throw outcome.error(info.Env());
    return take_ids(info.Env(), std::move(ids));
  }

  Napi::Value start(const Napi::CallbackInfo& info) {
    Napi::Value started;
    Outcome outcome;
    const bool is_started = outcome.caught(
        [&] { started = EncodeJob::start(info.Env(), encoder_, to_request(info[0].As<Napi::Object>())); });
    if (!is_started) throw outcome.error(info.Env());
    return started;
  }

 private:
  friend class LoadWork;
  VocabularySource source_;
  std::shared_ptr<Encoder> encoder_;  // null until it is loaded
};

// Takes a tenth of a second for 153,600 tokens, so it may run on the pool.
class LoadWork final : public Worker {
 public:
  explicit LoadWork(TokenizerObject& object)
      : Worker(object.Env(), "kexa.tokenizer"),
        object_(object),
        kept_(Napi::Persistent(object.Value())),
        source_(std::move(object.source_)) {}

 private:
  void work() override {
    Watch watch;
    encoder_ = std::make_shared<Encoder>(std::make_shared<const Vocabulary>(source_, watch));
    source_ = {};
  }
  Napi::Value result() override {
    const Napi::Env env = Env();
    const Vocabulary& vocabulary = encoder_->vocabulary();
    auto bytes = Napi::Uint8Array::New(env, vocabulary.bytes().size());
    std::copy(vocabulary.bytes().begin(), vocabulary.bytes().end(), reinterpret_cast<char*>(bytes.Data()));
    auto spellings = Napi::Uint8Array::New(env, vocabulary.spellings().size());
    for (size_t id = 0; id < vocabulary.spellings().size(); ++id) spellings[id] = uint8_t(vocabulary.spellings()[id]);
    auto table = Napi::Object::New(env);
    table.Set("bytes", bytes);
    table.Set("starts", from_ids(env, vocabulary.starts()));
    table.Set("spellings", spellings);
    object_.encoder_ = std::move(encoder_);
    return table;
  }

  TokenizerObject& object_;
  Napi::ObjectReference kept_;
  VocabularySource source_;
  std::shared_ptr<Encoder> encoder_;
};

Napi::Value TokenizerObject::load(const Napi::CallbackInfo&) {
  return Worker::start(std::make_unique<LoadWork>(*this));
}

}  // namespace

Napi::Function define_tokenizer(Napi::Env env) {
  using Object = TokenizerObject;
  return Object::DefineClass(
      env, "Tokenizer",
      {Object::InstanceMethod<&Object::load>("load"), Object::InstanceMethod<&Object::id_of>("idOf"),
       Object::InstanceMethod<&Object::encode>("encode"), Object::InstanceMethod<&Object::start>("start")});
}

}  // namespace kexa
