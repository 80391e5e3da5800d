#include "addon/tokenizer.h"

#include <set>

#include "base/error.h"
#include "text/encoder.h"

namespace kexa {
namespace {

using Stop = std::shared_ptr<std::atomic<bool>>;

// What a call on the pool may end with, besides its result.
struct Failure {
  std::string code, message;
  bool is_cancelled = false;

  // Runs `work`, which may throw anything; false if it threw.
  template <typename Work>
  bool caught(const Work& work) {
    try {
      work();
      return true;
    } catch (const Cancelled&) {
      is_cancelled = true;
    } catch (const Error& error) {
      code = error.code, message = error.what();
    } catch (const TooManyIds&) {
      code = "KEXA_CONTEXT_FULL", message = "the text has more tokens than were wanted";
    } catch (const std::bad_alloc&) {
      code = "KEXA_OUT_OF_MEMORY", message = "tokenizer: there is not enough memory for this text or vocabulary";
    } catch (const std::length_error&) {
      code = "KEXA_INVALID_ARGUMENT", message = "text: it is too long";
    }
    return false;
  }

  Napi::Error error(Napi::Env env) const {
    Napi::Error thrown = Napi::Error::New(env, message);
    thrown.Set("code", code);
    return thrown;
  }
};

Napi::Value from_ids(Napi::Env env, const std::vector<uint32_t>& ids) {
  auto array = Napi::Uint32Array::New(env, ids.size());
  std::copy(ids.begin(), ids.end(), array.Data());
  return array;
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
                   : split == "gpt2"     ? SplitPattern::kGpt2
                                         : SplitPattern::kNone;
  return source;
}

// `spans`: three numbers each; start, end, and 0 for all, 1 for markers or 2 for none.
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

// Flags of the calls on the pool; touched by the JavaScript thread only.
using Running = std::shared_ptr<std::set<Stop>>;

class EncodeWork final : public Napi::AsyncWorker {
 public:
  EncodeWork(Napi::Env env, std::shared_ptr<Encoder> encoder, EncodeRequest request, Stop stop, Running running)
      : Napi::AsyncWorker(env, "kexa.encode"),
        deferred_(Napi::Promise::Deferred::New(env)),
        encoder_(std::move(encoder)),
        request_(std::move(request)),
        stop_(std::move(stop)),
        running_(std::move(running)) {
    running_->insert(stop_);
  }
  ~EncodeWork() override { running_->erase(stop_); }
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override {
    if (!failure_.caught([&] { ids_ = encoder_->encode(request_, stop_.get()); })) SetError("failed");
  }
  void OnOK() override { deferred_.Resolve(from_ids(Env(), ids_)); }
  void OnError(const Napi::Error&) override {
    if (failure_.is_cancelled)
      deferred_.Resolve(Env().Null());
    else
      deferred_.Reject(failure_.error(Env()).Value());
  }

  Napi::Promise::Deferred deferred_;
  std::shared_ptr<Encoder> encoder_;
  EncodeRequest request_;
  Stop stop_;
  Running running_;
  std::vector<uint32_t> ids_;
  Failure failure_;
};

class TokenizerObject : public Napi::ObjectWrap<TokenizerObject> {
 public:
  explicit TokenizerObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<TokenizerObject>(info), env_(info.Env()), running_(std::make_shared<std::set<Stop>>()) {
    Failure failure;
    if (!failure.caught([&] { source_ = to_source(info[0].As<Napi::Object>()); })) throw failure.error(env_);
    napi_add_env_cleanup_hook(env_, &TokenizerObject::on_env_cleanup, this);
  }
  ~TokenizerObject() override { napi_remove_env_cleanup_hook(env_, &TokenizerObject::on_env_cleanup, this); }

  Napi::Value load(const Napi::CallbackInfo& info);

  Napi::Value id_of(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), encoder_->vocabulary().id_of(info[0].ToString().Utf8Value()));
  }

  Napi::Value encode(const Napi::CallbackInfo& info) {
    std::vector<uint32_t> ids;
    Failure failure;
    const bool is_done = failure.caught([&] {
      EncodeRequest request = to_request(info[0].As<Napi::Object>());
      ids = encoder_->encode(request, nullptr);
    });
    if (!is_done) throw failure.error(info.Env());
    return from_ids(info.Env(), ids);
  }

  Napi::Value start(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto stop = std::make_shared<std::atomic<bool>>(false);
    Failure failure;
    std::unique_ptr<EncodeWork> work;
    const bool is_made = failure.caught([&] {
      work = std::make_unique<EncodeWork>(env, encoder_, to_request(info[0].As<Napi::Object>()), stop, running_);
    });
    if (!is_made) throw failure.error(env);
    auto object = Napi::Object::New(env);
    object.Set("result", work->promise());
    object.Set("cancel", Napi::Function::New(env, [stop](const Napi::CallbackInfo&) { *stop = true; }));
    work.release()->Queue();
    return object;
  }

 private:
  friend class LoadWork;
  // The environment waits for its calls on the pool: without this, for as long as a long text takes.
  static void on_env_cleanup(void* self) {
    for (const Stop& stop : *static_cast<TokenizerObject*>(self)->running_) *stop = true;
  }

  napi_env env_;
  Running running_;
  VocabularySource source_;
  std::shared_ptr<Encoder> encoder_;  // once loaded
};

class LoadWork final : public Napi::AsyncWorker {
 public:
  explicit LoadWork(TokenizerObject& object)
      : Napi::AsyncWorker(object.Env(), "kexa.tokenizer"),
        deferred_(Napi::Promise::Deferred::New(object.Env())),
        object_(object),
        kept_(Napi::Persistent(object.Value())),
        source_(std::move(object.source_)),
        stop_(std::make_shared<std::atomic<bool>>(false)),
        running_(object.running_) {
    running_->insert(stop_);
  }
  ~LoadWork() override { running_->erase(stop_); }
  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override {
    const bool is_done = failure_.caught([&] {
      Watch watch(stop_.get());
      encoder_ = std::make_shared<Encoder>(std::make_shared<const Vocabulary>(source_, watch));
      source_ = {};
    });
    if (!is_done) SetError("failed");
  }
  void OnOK() override {
    const Napi::Env env = Env();
    const Vocabulary& vocabulary = encoder_->vocabulary();
    auto bytes = Napi::Uint8Array::New(env, vocabulary.bytes().size());
    std::copy(vocabulary.bytes().begin(), vocabulary.bytes().end(), reinterpret_cast<char*>(bytes.Data()));
    auto spellings = Napi::Uint8Array::New(env, vocabulary.spellings().size());
    for (size_t id = 0; id < vocabulary.spellings().size(); ++id)
      spellings[id] = uint8_t(vocabulary.spellings()[id]);
    auto table = Napi::Object::New(env);
    table.Set("bytes", bytes);
    table.Set("starts", from_ids(env, vocabulary.starts()));
    table.Set("spellings", spellings);
    object_.encoder_ = std::move(encoder_);
    deferred_.Resolve(table);
  }
  void OnError(const Napi::Error&) override { deferred_.Reject(failure_.error(Env()).Value()); }

  Napi::Promise::Deferred deferred_;
  TokenizerObject& object_;
  Napi::ObjectReference kept_;
  VocabularySource source_;
  Stop stop_;
  Running running_;
  std::shared_ptr<Encoder> encoder_;
  Failure failure_;
};

Napi::Value TokenizerObject::load(const Napi::CallbackInfo&) {
  auto work = std::make_unique<LoadWork>(*this);
  const auto promise = work->promise();
  work.release()->Queue();
  return promise;
}

}  // namespace

Napi::Function define_tokenizer(Napi::Env env) {
  using Object = TokenizerObject;
  return Object::DefineClass(env, "Tokenizer",
                             {Object::InstanceMethod<&Object::load>("load"), Object::InstanceMethod<&Object::id_of>("idOf"),
                              Object::InstanceMethod<&Object::encode>("encode"),
                              Object::InstanceMethod<&Object::start>("start")});
}

}  // namespace kexa
