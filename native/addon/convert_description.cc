// Converts the description of a model, from lib/description.ts.
#include <algorithm>
#include <concepts>
#include <initializer_list>
#include <string_view>

#include "addon/convert.h"
#include "addon/fields.h"

namespace kexa {
namespace {

// The name of a field in JavaScript: hiddenSize for hidden_size.
std::string camel_case(std::string_view name) {
  std::string camel;
  for (size_t i = 0; i < name.size(); ++i) camel += name[i] == '_' ? char(name[++i] - 'a' + 'A') : name[i];
  return camel;
}

// Sets fields of C++ to values of JavaScript, each by its type. Throws a TypeError that names the field.
class Reader {
 public:
  template <typename T>
  static void read(const Napi::Value& from, const char* name, T& to) {
    if constexpr (requires { T::every_field_is_listed(to); })
      read_fields(from.As<Napi::Object>(), to);
    else if constexpr (std::same_as<T, int>)
      to = to_int(from, name);
    else if constexpr (std::same_as<T, int64_t>)
      to = to_count(from, name);
    else if constexpr (std::floating_point<T>)
      to = T(from.ToNumber().DoubleValue());
    else if constexpr (std::same_as<T, bool>)
      to = from.ToBoolean();
    else
      read_text(from, name, to);
  }

  // Null: an empty list.
  template <typename T>
  static void read(const Napi::Value& from, const char* name, std::vector<T>& to) {
    if (from.IsNull()) return;
    const auto list = from.As<Napi::Array>();
    to.resize(list.Length());
    for (uint32_t i = 0; i < list.Length(); ++i) {
      Napi::HandleScope scope(from.Env());  // a real model has eighteen thousand tensors
      read(list.Get(i), name, to[i]);
    }
  }

 private:
  template <typename T>
  static void read_fields(const Napi::Object& from, T& to) {
    to.visit_fields([&](std::string_view field, auto& value) {
      using Value = std::remove_reference_t<decltype(value)>;
      if constexpr (!std::same_as<Value, ModelPart>) read_field(from, camel_case(field).c_str(), value);
    });
  }

  template <typename T>
  static void read_field(const Napi::Object& from, const char* name, T& to) {
    read(member(from, name), name, to);
  }
  // Null or no such field: nullopt.
  template <typename T>
  static void read_field(const Napi::Object& from, const char* name, std::optional<T>& to) {
    const Napi::Value value = from.Get(name);
    if (!value.IsNull() && !value.IsUndefined()) read(value, name, to.emplace());
  }

  static void read_text(const Napi::Value& from, const char*, std::string& to) { to = from.ToString(); }
  static void read_text(const Napi::Value& from, const char*, Type& to) { to = to_type(from.ToString()); }
  static void read_text(const Napi::Value& from, const char* name, NormPlacement& to) {
    to = NormPlacement(index_of(from, name, {"pre", "post"}));
  }
  static void read_text(const Napi::Value& from, const char* name, FfnKind& to) {
    to = FfnKind(index_of(from, name, {"dense", "moe"}));
  }
  static void read_text(const Napi::Value& from, const char* name, CodeLayout& to) {
    to = CodeLayout(index_of(from, name, {"rows", "signed", "gptq", "awq"}));
  }
  static void read_text(const Napi::Value& from, const char* name, ZeroLayout& to) {
    to = ZeroLayout(index_of(from, name, {"middle", "rows", "signed", "gptq", "gptq less one", "awq"}));
  }
  static void read_text(const Napi::Value& from, const char* name, ScaleFormat& to) {
    to = ScaleFormat(index_of(from, name, {"f32", "f16", "bf16", "e4m3", "e8m0"}));
  }
  static int index_of(const Napi::Value& from, const char* name, std::initializer_list<std::string_view> known) {
    const std::string found = from.ToString();
    const auto at = std::find(known.begin(), known.end(), found);
    if (at == known.end())
      throw Napi::TypeError::New(from.Env(), "kexa's core knows no " + std::string(name) + " '" + found + "'");
    return int(at - known.begin());
  }
};

}  // namespace

TensorEntry to_tensor(const Napi::Object& from) {
  TensorEntry to;
  Reader::read(from, "tensor", to);
  return to;
}

ModelDescription to_description(const Napi::Object& from) {
  ModelDescription to;
  Reader::read(from, "description", to);
  return to;
}

}  // namespace kexa
